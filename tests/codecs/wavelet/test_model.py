"""The networks of the wavelet codec: what they see, when, and what their loss says."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from satstudy.codecs.wavelet import model as wavelet
from satstudy.codecs.wavelet.config import WaveletConfig
from satstudy.codecs.wavelet.model import TURNS, WaveletModel, assembled, condition, likelihood, take
from satstudy.core.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_each_coefficient_has_one_turn():
    cells = torch.arange(36.0).reshape(1, 9, 4, 1, 1)
    parts = [take(cells, turn) for turn in TURNS]
    assert sorted(float(value) for part in parts for value in part.flatten()) == list(range(36))
    assert torch.equal(assembled(parts).flatten(), cells.flatten())


@pytest.mark.parametrize("scale", [0.11, 0.7, 5.0, 200.0])
def test_likelihoods_are_those_of_a_normal_distribution(scale):
    k = torch.arange(-600, 601, dtype=torch.float64)
    found = likelihood(k, torch.tensor(scale, dtype=torch.float64)).numpy()
    expected = norm.cdf((k.numpy() + 0.5) / scale) - norm.cdf((k.numpy() - 0.5) / scale)
    assert np.abs(found - expected).max() < 1e-4
    assert 0.99 < found.sum() < 1.001
    assert -math.log2(found[-1]) < 40, "what is not foreseen has a finite price"


def test_a_step_is_chosen_where_a_bit_is_worth_its_error(small_wavelet):
    # Of a uniform error the mean square is Δ²/12 and halving Δ costs a bit: d(λ·255²·Δ²/36)/d(bit) = 1 at the step.
    lam = torch.tensor([0.003, 0.05])
    low, _ = small_wavelet.steps(lam)
    step = low.flatten()
    assert torch.allclose(lam * 255**2 * step**2 * 2 * math.log(2) / 36, torch.ones(2), atol=1e-5)


def test_no_coefficient_is_seen_before_its_turn(small_wavelet):
    """The prediction of a turn does not change with coefficients of this turn or of later ones."""
    shapes = wavelet.band_shapes(32, 32)
    cond = condition(torch.tensor([0.01]))

    def predictions(changed: int | None) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        walk = small_wavelet.networks.walk(torch.zeros(1, 3, *shapes[-1]), small_wavelet.shifts(cond), shapes)
        found, asked = [], next(walk)
        while True:
            found.append(torch.cat((asked.means, asked.scales), 1))
            sent = torch.randn(asked.means.shape, generator=generator)
            if changed is not None and len(found) - 1 >= changed:
                sent = sent + 1
            try:
                asked = walk.send(sent)
            except StopIteration:
                return found

    with torch.no_grad():
        plain = predictions(None)
        assert len(plain) == wavelet.LEVELS * len(TURNS)
        for changed in (30, 44):
            other = predictions(changed)
            same = [torch.equal(a, b) for a, b in zip(plain, other, strict=True)]
            assert all(same[: changed + 1])
            assert not any(same[changed + 2 :]), "later turns see what was decoded before"


def test_a_larger_lam_gives_more_bits_and_less_error(small_wavelet, picture):
    x = torch.from_numpy(picture(64, 64)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        bits, errors = zip(
            *(
                (float(b), float(((x_hat - x) ** 2).mean()))
                for b, x_hat in (small_wavelet(x, torch.tensor([lam])) for lam in (0.0005, 0.01, 0.1))
            ),
            strict=True,
        )
    assert bits[0] < bits[1] < bits[2]
    assert errors[0] > errors[1] > errors[2]


def test_everything_learns(small_wavelet, picture):
    import copy

    model = copy.deepcopy(small_wavelet).train()
    x = torch.from_numpy(picture(64, 64)).permute(2, 0, 1)[None].float() / 255
    for early in (False, True):
        model.zero_grad()
        bits, x_hat = model(x, torch.tensor([0.05]), lambda shape: torch.rand(shape) - 0.5, early)
        (bits.sum() / 64**2 + 0.05 * 255**2 * ((x_hat - x) ** 2).mean()).backward()
        silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not silent


def test_quantization_is_never_worse_than_rounding():
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(2000, generator=generator) * 3
    scale = torch.exp(torch.randn(2000, generator=generator))
    error_bits = torch.tensor(8.66)

    def cost(k):
        return error_bits * (residual - k) ** 2 - torch.log2(likelihood(k, scale))

    decided = wavelet.decided(residual, scale, error_bits)
    assert torch.equal(decided, torch.round(decided))
    everything = torch.stack([cost(torch.full_like(residual, float(k))) for k in range(-15, 16)]).min(0).values
    assert (cost(decided) <= cost(torch.round(residual)) + 1e-5).all()
    assert (cost(decided) <= everything + 1e-3).float().mean() > 0.99


@pytest.mark.parametrize("change", [{"widths": (8,)}, {"widths": (0, 8), "depths": (1, 1)}, {"correction": 9999}])
def test_sizes_that_are_none_are_refused(change):
    with pytest.raises(InputError):
        WaveletConfig(**{"widths": (8, 8), "depths": (1, 1), "correction": 8, **change})


def test_weights_come_back_and_wrong_ones_are_refused(small_wavelet):
    weights, text = small_wavelet.weights(), small_wavelet.config.text()
    again = wavelet.from_weights(weights, text)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), small_wavelet.parameters(), strict=True))
    for wrong in ({**text, "widths": "16,16,16"}, {**text, "widths": "no"}, {"widths": "8,8"}):
        with pytest.raises(InputError):
            wavelet.from_weights(weights, wrong)
    with pytest.raises(InputError, match="see gain"):
        wavelet.from_weights({k: v for k, v in weights.items() if k != "gain"}, text)
    with pytest.raises(InputError, match="not finite"):
        wavelet.from_weights({**weights, "gain": weights["gain"] * math.nan}, text)
    assert isinstance(again, WaveletModel)
