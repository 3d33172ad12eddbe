"""satstudy.growth: more latents, and the old ones do what they did."""

import pytest
import torch

from satstudy.errors import InputError
from satstudy.growth import grow


@pytest.fixture(scope="module")
def grown(tiny_model):
    return grow(tiny_model, tiny_model.M + 7)


def test_old_latents_are_as_before_and_new_ones_are_quiet(tiny_model, grown):
    x = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        old, new = tiny_model.g_a(x), grown.g_a(x)
    assert new.shape[1] == tiny_model.M + 7
    assert torch.allclose(new[:, : tiny_model.M], old, atol=1e-5)
    assert new[:, tiny_model.M :].std() < 0.5 * old.std()


def test_the_image_is_the_same_while_new_latents_are_zero(tiny_model, grown):
    y = torch.randn(2, tiny_model.M, 4, 8, generator=torch.Generator().manual_seed(1)).round()
    with torch.no_grad():
        old = tiny_model.g_s(y)
        assert torch.allclose(grown.g_s(torch.cat((y, torch.zeros(2, 7, 4, 8)), 1)), old, atol=1e-5)
        # But they can be heard, or they would never learn.
        assert (grown.g_s(torch.cat((y, torch.ones(2, 7, 4, 8)), 1)) - old).abs().max() > 1e-4


def test_probabilities_of_old_latents_are_as_before_whatever_the_new_ones_are(tiny_model, grown):
    generator = torch.Generator().manual_seed(2)
    M = tiny_model.M
    y, z = torch.randn(1, M, 8, 8, generator=generator) * 3, torch.randn(1, tiny_model.N, 2, 2, generator=generator)
    more = torch.cat((y, torch.randn(1, 7, 8, 8, generator=generator)), 1)
    found = []
    with torch.no_grad():
        for model, latents in ((tiny_model, y), (grown, more)):
            context = model.context_prediction(latents)
            found.append(model.entropy_parameters(torch.cat((model.h_s(z), context), 1)).chunk(2, 1))
        assert torch.allclose(grown.h_a(torch.cat((y, torch.zeros(1, 7, 8, 8)), 1)), tiny_model.h_a(y), atol=1e-5)
    for old, new in zip(*found, strict=True):
        assert torch.allclose(new[:, :M], old, atol=1e-4)
    assert (found[1][0][:, M:] - 0.3).abs().max() < 0.3, "scales of new latents are small, and above zero"


def test_growing_by_nothing_changes_nothing_and_is_the_same_every_time(tiny_model):
    same = grow(tiny_model, tiny_model.M)
    assert all(torch.equal(a, b) for a, b in zip(same.weights().values(), tiny_model.weights().values(), strict=True))
    state = torch.random.get_rng_state()
    one, other = (grow(tiny_model, tiny_model.M + 2) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.weights().values(), other.weights().values(), strict=True))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_every_new_weight_can_learn(tiny_model, grown):
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    model = grow(tiny_model, tiny_model.M + 7).train()
    noise = [torch.rand(1, c, s, s) - 0.5 for c, s in ((model.M, 4), (model.N, 1))]
    model.loss(model.training_pass(x, *noise, torch.float32), x, 0.01).total.backward()
    assert model.g_a[6].weight.grad[tiny_model.M :].abs().max() > 0
    assert model.g_s[0].weight.grad is not None


def test_latents_are_not_taken_away(tiny_model):
    with pytest.raises(InputError, match="less than the"):
        grow(tiny_model, tiny_model.M - 1)
