"""satstudy.core.hardware: settings take effect, and the first interrupt waits."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from satstudy.core import hardware


def test_the_processor_says_whether_it_multiplies_bfloat16():
    flags = Path("/proc/cpuinfo").read_text() if hardware._cpu_flag("fpu") else ""
    assert hardware.fast_bf16(torch.device("cpu")) in (True, False)
    if "avx512_bf16" not in flags:
        assert not hardware.fast_bf16(torch.device("cpu"))


def test_matmul_is_reduced_within_and_as_before_afterwards():
    before = torch.get_float32_matmul_precision()
    with hardware.reduced_precision_matmul(False):
        assert torch.get_float32_matmul_precision() == before
    with contextlib.suppress(KeyError), hardware.reduced_precision_matmul():
        assert torch.get_float32_matmul_precision() == "medium"
        raise KeyError
    assert torch.get_float32_matmul_precision() == before


def test_an_unknown_flag_is_no_flag():
    assert not hardware._cpu_flag("no_such_flag")


def test_defaults_are_plain_within_and_as_before_afterwards():
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        with hardware.plain_defaults():
            assert (torch.zeros(1).dtype, torch.zeros(1).device.type) == (torch.float32, "cpu")
        assert (torch.zeros(1).dtype, torch.zeros(1).device.type) == (torch.float64, "meta")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


def test_denormal_numbers_become_zero_within_a_training():
    tiny = torch.tensor([1e-39])
    for _ in range(2):
        with hardware.settled_for_training():
            assert (tiny * 1.0).item() == 0.0
            with hardware.settled_for_training():
                pass
            assert (tiny * 1.0).item() == 0.0
        assert (tiny * 1.0).item() > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_stops_at_once(number):
    with hardware.deferred_interrupts() as received:
        os.kill(os.getpid(), number)
        assert received == [number]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_afterwards_interrupts_raise_as_before():
    before = signal.getsignal(signal.SIGINT)
    with hardware.deferred_interrupts() as received:
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    assert not received


def test_in_another_thread_there_is_nothing_to_hold_back():
    seen = []

    def work():
        with hardware.deferred_interrupts() as received:
            seen.append(received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]], "and no ValueError from signal"
