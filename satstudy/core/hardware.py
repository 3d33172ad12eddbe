"""PyTorch's settings for the machine at hand, and interrupts that wait for the end of a training step."""

from __future__ import annotations

import contextlib
import ctypes
import os
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
    try:
        return f" {flag} " in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


@contextlib.contextmanager
def reduced_precision_matmul(wanted: bool = True) -> Iterator[None]:
    """Within the block, float32 matrices are multiplied in bfloat16 (CPU) or TF32 (GPU) where that is faster.

    For the optimizer SOAP: products of noisy gradients and of their preconditioners take half of its step.
    """
    try:
        before = torch.get_float32_matmul_precision() if wanted else ""
    except RuntimeError:  # the caller set PyTorch's newer switches, which cannot be read by this function
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
    """Within, PyTorch makes tensors of float32 on the CPU unless told otherwise, whatever its defaults are.

    The default dtype is one for all threads. A process that was forked computes on one thread from then on: GNU's
    OpenMP waits for ever for the threads that its parent had.
    """
    global _process
    if os.getpid() != _process:
        _process = os.getpid()
        torch.set_num_threads(1)
    dtype = torch.get_default_dtype()
    # A default device slows every call into PyTorch, the CPU too: none is set where none need be.
    device = torch.device("cpu") if torch.get_default_device().type != "cpu" else contextlib.nullcontext()
    with device:
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            if dtype != torch.float32:
                torch.set_default_dtype(dtype)


def settle_for_training() -> None:
    """Keep freed memory in the process, and flush denormal numbers to zero.

    A training step allocates the same large blocks each time. By default glibc returns them to the system and asks for
    them anew, whose page faults take about a tenth of the time. Moments of weights that get no gradient decay into
    denormal numbers, which are slow on a CPU and mean nothing.
    """
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
            libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[list[int]]:
    """Within the block, the first interrupt (Ctrl-C, SIGTERM) is added to the list and raises nothing; a second raises.

    A training step that stops half-way leaves weights and their moving average at different steps, and such a state
    would not resume to the same result. Outside the main thread, which alone gets interrupts, nothing changes.
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
