"""What this machine does fast, and how it is told to."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: a GPU, or a CPU with AVX-512 BF16 or AMX."""
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
    """Within, products of float32 matrices are taken in bfloat16 (CPU) or TF32 (GPU), where that is faster.

    For an optimizer such as SOAP: products of noisy gradients and of their preconditioners are half of its step.
    """
    try:
        before = torch.get_float32_matmul_precision() if wanted else ""
    except RuntimeError:  # the caller set PyTorch's newer switches, and the two do not mix
        before = ""
    if not before:
        yield
        return
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def settle_for_training() -> None:
    """Keep freed memory in the process, and compute with zeros for denormal numbers.

    A training step allocates the same large blocks each time; returned to the system and asked for anew,
    as glibc does by default, they cost about a tenth of the time in page faults. Moments of weights that
    get no gradient decay into denormals, which are slow on a CPU and mean nothing.
    """
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
            libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
        except (OSError, AttributeError):
            pass


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[list[int]]:
    """Within, an interrupt (Ctrl-C) is noted and raises nothing: the list is no longer empty once one came.

    A training step that stops half-way leaves weights and their average at different times, and such a state
    could not be resumed to the same end. A second interrupt stops at once. Other threads than the main one get no
    interrupts.
    """
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    previous = signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, previous)
