"""The integer networks against int64, and against the networks in floats."""

import copy

import numpy as np
import pytest
import torch
from reference_integers import reference_h_s

from satstudy.codecs.coding.integers import ACTIVATION_BITS, LIMIT
from satstudy.codecs.coding.probability import scale_thresholds
from satstudy.codecs.mbt2018.entropy import STRIP, ContextModel, HyperSynthesis

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [20, LIMIT])
def test_the_integer_h_s_equals_int64(tiny_model, dtype, size):
    z = np.random.default_rng(size).integers(-size, size + 1, (8, 3, 2))
    h_s = copy.deepcopy(tiny_model.h_s)
    with torch.no_grad():
        h_s[4].weight.mul_(3)
    expected = reference_h_s(h_s, z)
    layer = HyperSynthesis(h_s, dtype, CPU)
    result = layer(torch.from_numpy(z).permute(1, 2, 0)[None].to(dtype))[0]
    assert np.array_equal(result.permute(2, 0, 1).numpy().astype(np.int64), expected)
    assert size == 20 or np.abs(expected).max() == LIMIT  # the limit is reached


def test_the_integer_h_s_follows_the_float_one(tiny_model):
    layer = HyperSynthesis(tiny_model.h_s, torch.float64, CPU)
    z = torch.randint(-3, 4, (1, 8, 4, 5), generator=torch.Generator().manual_seed(0)).double()
    with torch.inference_mode():
        expected = copy.deepcopy(tiny_model.h_s).double()(z)
        result = layer(z.permute(0, 2, 3, 1) * (1 << ACTIVATION_BITS)).permute(0, 3, 1, 2) / (1 << ACTIVATION_BITS)
    # Half a step of the grid a layer, and weights rounded by up to 2^-11 on activations of a few units.
    error = (result - expected).abs()
    assert error.max() < 0.1
    assert error.mean() < 0.02 < 0.1 < expected.std()


def test_a_scale_on_a_threshold_takes_the_lower_level(tiny_model):
    model = ContextModel(tiny_model, torch.float64, CPU)
    t = torch.tensor(scale_thresholds(), dtype=torch.float64)
    assert torch.equal(torch.bucketize(t, model.thresholds), torch.arange(63))
    assert torch.equal(torch.bucketize(t + 1, model.thresholds), torch.arange(63) + 1)


def test_the_largest_group_is_gathered_in_strips(tiny_model, monkeypatch):
    """What a file of some 50 bytes may ask for at once is 4096² pixels; nine times its parameters is too much."""
    rows = []
    gather = HyperSynthesis._neighbourhoods

    def spy(x):
        for strip in gather(x):
            rows.append(len(strip[2][0]))
            yield strip

    monkeypatch.setattr(HyperSynthesis, "_neighbourhoods", staticmethod(spy))
    h_s = HyperSynthesis(tiny_model.h_s, torch.float64, CPU)
    for z in (torch.zeros(1, 64, 64, 8), torch.zeros(1500, 1, 1, 8), torch.zeros(3, 50, 7, 8)):
        h_s(z.double())
        assert sum(rows) == z[..., 0].numel() * (1 + 4 + 16)
        assert max(rows) <= STRIP
        rows.clear()
