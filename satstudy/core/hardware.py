"""PyTorch's settings for the machine at hand, and interrupts that wait for the end of a training step."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: a GPU that has it, or a CPU with AVX-512 BF16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(getattr(torch.backends.cpu, "get_cpu_capability", str)() == "AVX512" and _cpu_flag("avx512_bf16"))


def _cpu_flag(flag: str) -> bool:
    return f" {flag} " in _cpuinfo()


def _cpuinfo() -> str:
    """What Linux says of the processor; nothing on other systems."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def processor() -> str:
    """The model of the processor, or its architecture where the system does not say which model it is."""
    found = re.search(r"^model name\s*: (.+)$", _cpuinfo(), re.MULTILINE)
    return found[1] if found else platform.machine()


@contextlib.contextmanager
def reduced_precision_matmul(wanted: bool = True) -> Iterator[None]:
    """Within the block, products of float32 matrices use bfloat16 (CPU) or TF32 (GPU) where that is faster.

    For SOAP, which spends half of a step on products of gradients and preconditioners.
    """
    try:
        before = torch.get_float32_matmul_precision() if wanted else ""
    except RuntimeError:  # the caller has used PyTorch's newer interface, and then this function cannot be read
        before = ""
    if not before:
        yield
        return
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


_process = os.getpid()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def plain_defaults() -> Iterator[None]:
    """Within the block, PyTorch creates float32 tensors on the CPU by default, whatever the caller has set.

    The default dtype is one setting for all threads. A forked process uses one thread from then on, since GNU's OpenMP
    would wait for the threads of its parent.
    """
    global _process
    if os.getpid() != _process:
        _process = os.getpid()
        torch.set_num_threads(1)
    dtype = torch.get_default_dtype()
    # A default device slows every call of PyTorch, even the CPU: it is set only where needed.
    device = torch.device("cpu") if torch.get_default_device().type != "cpu" else contextlib.nullcontext()
    with device:
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            if dtype != torch.float32:
                torch.set_default_dtype(dtype)


@contextlib.contextmanager
def settled_for_training() -> Iterator[None]:
    """Within the block, denormal numbers are flushed to zero; from then on, the process keeps freed memory.

    Each step allocates the same large blocks. By default glibc returns them to the system, and the page faults of the
    next step take about a tenth of the time. Moments of weights without gradient decay to denormal numbers, which are
    slow.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
            libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
    flushed = not (torch.tensor(1e-39) * 1.0).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[list[int]]:
    """Within the block, the first interrupt (Ctrl-C, SIGTERM) is added to the list; a second one raises.

    A training step that is interrupted half-way leaves weights and moving average at different steps. Outside the main
    thread, which alone receives interrupts, the block has no effect.
    """
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
