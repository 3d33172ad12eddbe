"""Integer layers: sums are exact whatever carries them, and weights that nothing carries are refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_integers import activation

from satstudy.errors import InputError
from satstudy.integers import LIMIT, SATURATION, Linear, to_activation

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@given(
    seed=st.integers(0, 10**6), size=st.sampled_from([1, 100, LIMIT]), gain=st.sampled_from([0.01, 1.0, 1.99, 900.0])
)
@settings(max_examples=25, deadline=None)
def test_integer_products_are_exact_for_both_carriers(seed, size, gain):
    rng = np.random.default_rng(seed)
    weight, bias = rng.uniform(-gain, gain, (37, 5)), rng.uniform(-100, 100, 5)
    x = rng.integers(-size, size + 1, (11, 37))
    expected = x @ np.rint(weight * 1024).astype(np.int64) + np.rint(bias * 65536).astype(np.int64)
    expected = expected.clip(-SATURATION, SATURATION)
    for carrier in (torch.float64, torch.float32):
        pieces = [torch.from_numpy(weight[:20]), torch.from_numpy(weight[20:])]
        layer = Linear(pieces, torch.from_numpy(bias), carrier, CPU)
        inputs = torch.from_numpy(x).to(carrier)
        sums = layer.sums(inputs[:, :20], inputs[:, 20:])
        assert sums.dtype == torch.int32
        assert np.array_equal(sums.numpy().astype(np.int64), expected)
        for leaky in (False, True):
            result = to_activation(sums.clone(), leaky)
            assert np.array_equal(result.numpy().astype(np.int64), activation(expected, leaky))


def test_rows_beyond_float32_are_taken_in_float64():
    """One row is short enough for float32 and one is not; both come out exact."""
    rng = np.random.default_rng(0)
    weight = rng.uniform(-2, 2, (64, 3))
    x = np.stack([rng.integers(-3, 4, 64), rng.integers(LIMIT - 9, LIMIT, 64)])
    layer = Linear([torch.from_numpy(weight)], torch.zeros(3), torch.float32, CPU)
    lengths = np.sqrt((x.astype(float) ** 2).sum(1))
    assert lengths[0] < layer.allowed[0] < lengths[1]
    expected = x @ np.rint(weight * 1024).astype(np.int64)
    assert np.abs(expected).max() > 2**24  # float32 would round it
    assert np.array_equal(layer.sums(torch.from_numpy(x).float()).numpy().astype(np.int64), expected)


def test_weights_that_no_carrier_holds_are_refused():
    with pytest.raises(InputError, match="too large"):
        Linear([torch.tensor([[2.0**14]])], torch.zeros(1), torch.float32, CPU)
    with pytest.raises(InputError, match="too large"):
        Linear([torch.tensor([[1e12]])], torch.zeros(1), torch.float64, CPU)
    with pytest.raises(InputError, match="too large"):
        Linear([torch.tensor([[1.0]])], torch.tensor([1e12]), torch.float64, CPU)
