"""Integer layers: sums are exact whatever carries them, and weights that nothing carries are refused."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_integers import activation

from satstudy.codecs.coding import integers
from satstudy.codecs.coding.integers import LIMIT, SATURATION, Linear, float32_is_exact, full_precision, to_activation
from satstudy.core.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@given(
    seed=st.integers(0, 10**6), size=st.sampled_from([1, 100, LIMIT]), gain=st.sampled_from([0.01, 1.0, 1.99, 900.0])
)
@settings(max_examples=25, deadline=None)
def test_integer_products_are_exact_for_both_dtypes(seed, size, gain):
    rng = np.random.default_rng(seed)
    weight, bias = rng.uniform(-gain, gain, (37, 5)), rng.uniform(-100, 100, 5)
    x = rng.integers(-size, size + 1, (11, 37))
    expected = x @ np.rint(weight * 1024).astype(np.int64) + np.rint(bias * 65536).astype(np.int64)
    expected = expected.clip(-SATURATION, SATURATION)
    for dtype in (torch.float64, torch.float32):
        pieces = [torch.from_numpy(weight[:20]), torch.from_numpy(weight[20:])]
        layer = Linear(pieces, torch.from_numpy(bias), dtype, CPU)
        inputs = torch.from_numpy(x).to(dtype)
        sums = layer.sums(inputs[:, :20], inputs[:, 20:])
        assert sums.dtype == torch.int32
        assert np.array_equal(sums.numpy().astype(np.int64), expected)
        for leaky in (False, True):
            result = to_activation(sums.clone(), leaky)
            assert np.array_equal(result.numpy().astype(np.int64), activation(expected, leaky))


def test_rows_beyond_float32_are_taken_in_float64():
    """One row is short enough for float32 and one is not; both come out exact."""
    rng = np.random.default_rng(0)
    weight = rng.uniform(-0.1, 0.1, (64, 3))
    x = np.stack([rng.integers(-3, 4, 64), rng.integers(LIMIT - 9, LIMIT, 64)])
    layer = Linear([torch.from_numpy(weight)], torch.zeros(3), torch.float32, CPU)
    lengths = np.sqrt((x.astype(float) ** 2).sum(1))
    assert lengths[0] < layer.max_norms[0] < lengths[1]
    expected = x @ np.rint(weight * 1024).astype(np.int64)
    assert np.abs(expected).max() > 2**24  # float32 would round it
    assert np.array_equal(layer.sums(torch.from_numpy(x).float()).numpy().astype(np.int64), expected)


def test_weights_that_no_dtype_holds_are_refused():
    with pytest.raises(InputError, match="too large"):
        Linear([torch.tensor([[2.0**14]])], torch.zeros(1), torch.float32, CPU)
    with pytest.raises(InputError, match="too large"):
        Linear([torch.tensor([[1e12]])], torch.zeros(1), torch.float64, CPU)
    with pytest.raises(InputError, match="too large"):
        Linear([torch.tensor([[1.0]])], torch.tensor([1e12]), torch.float64, CPU)


# --- Whether float32 is what it says ----------------------------------------------------------------------


def coarse(bits):
    """float32 with fewer significant bits, as bfloat16 (8), TensorFloat-32 (11) and others have."""

    def rounded(x):
        fraction, exponent = torch.frexp(x.double())
        return torch.ldexp(torch.round(fraction * 2**bits) / 2**bits, exponent)

    return lambda weight: lambda x: (rounded(x) @ rounded(weight)).float()


@pytest.mark.parametrize("bits", [8, 10, 11])
def test_coarse_factors_are_noticed(bits, monkeypatch):
    assert float32_is_exact(torch.device("cpu"))
    monkeypatch.setattr(integers, "_multiplier", coarse(bits))
    assert not float32_is_exact(torch.device("cpu"))


def test_coarse_sums_are_noticed(monkeypatch):
    monkeypatch.setattr(integers, "_multiplier", lambda weight: lambda x: (x @ weight).bfloat16().float())
    assert not float32_is_exact(torch.device("cpu"))


@pytest.fixture
def precision():
    """PyTorch's settings as they were."""
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision("highest")
    for place in (torch.backends.mkldnn, torch.backends.cuda):
        place.matmul.fp32_precision = "none"


def test_one_thread_does_not_take_full_precision_from_another(precision):
    precision("medium")
    inside, leave, seen = threading.Event(), threading.Event(), []

    def first():
        with full_precision():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with full_precision():
        leave.set()
        thread.join()
        seen.append(torch.get_float32_matmul_precision())
    assert seen == ["highest"]
    assert torch.get_float32_matmul_precision() == "medium", "as the caller had it"


def test_the_newer_interface_to_precision_is_no_obstacle(precision):
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    with pytest.raises(RuntimeError):
        torch.get_float32_matmul_precision()
    with full_precision():
        assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
    assert torch.backends.mkldnn.matmul.fp32_precision == "bf16", "as the caller had it"
