"""satstudy.training.surgery: more latents, and the old ones do what they did; fewer, and those that matter stay."""

import copy

import pytest
import torch

from satstudy.codecs.mbt2018.model import from_weights
from satstudy.core.errors import InputError
from satstudy.training.surgery import DECONVOLUTIONS, READ_BY, grow, prune, resize


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


# --- Fewer ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def squares(picture):
    return torch.stack([torch.from_numpy(picture(128, 64, seed)).permute(2, 0, 1) for seed in (1, 2)]) / 255


def test_units_that_nobody_hears_are_the_ones_left_out(tiny_model, grown, squares):
    """Silence what growing has added, and pruning gives back the small model, weight by weight."""
    silent = copy.deepcopy(grown)
    m, M = tiny_model.M, grown.M
    sizes = {layer: tiny_model.get_submodule(layer).bias.shape[0] for layer in READ_BY}
    with torch.no_grad():
        for layer, (hearing, before) in READ_BY.items():
            heard = silent.get_submodule(hearing).weight
            heard = heard if hearing in DECONVOLUTIONS else heard.transpose(0, 1)
            more = silent.get_submodule(layer).bias.shape[0] - sizes[layer]
            start = before * M + sizes[layer]
            heard[start : start + more] = 0
    small = prune(silent, m, squares)
    for name, tensor in tiny_model.weights().items():
        assert torch.equal(small.weights()[name], tensor), name


def test_latents_with_nothing_to_say_go_first(tiny_model, squares):
    model = copy.deepcopy(tiny_model)
    with torch.no_grad():
        for kind in ("weight", "bias"):
            getattr(model.g_a[6], kind)[[0, 5, 7]] = 0
    small = prune(model, model.M - 3, squares)
    with torch.no_grad():
        y = model.g_a(squares)
        others = [i for i in range(model.M) if i not in (0, 5, 7)]
        assert torch.allclose(small.g_a(squares), y[:, others], atol=1e-5)
        assert torch.allclose(small.h_a(y[:, others]), model.h_a(y), atol=1e-5)


def test_what_is_constant_moves_into_the_biases(tiny_model, picture):
    """Latents and hidden units that always give the same can go without a trace, but at the borders."""
    squares = torch.from_numpy(picture(256, 256, 1)).permute(2, 0, 1)[None] / 255
    model = copy.deepcopy(tiny_model)
    with torch.no_grad():
        for layer, value in (
            (model.g_a[6], 4.0),
            (model.entropy_parameters[0], 6.0),
            (model.entropy_parameters[2], 3.0),
        ):
            layer.weight[:3] = 0
            layer.bias[:3] = value
        # Taps of trained weights are smooth; of random ones each phase of the deconvolution has its own sum.
        model.g_s[0].weight[:3] = model.g_s[0].weight[:3].mean(dim=(2, 3), keepdim=True)
        small = prune(model, model.M - 1, squares)
        assert torch.allclose(small.g_a[6].bias, model.g_a[6].bias[1:]), "one of the constant ones is left out"
        y, z = model.g_a(squares), torch.zeros(1, model.N, 4, 4)
        found = [
            m.entropy_parameters(torch.cat((m.h_s(z), m.context_prediction(latents.round())), 1)).chunk(2, 1)
            for m, latents in ((model, y), (small, y[:, 1:]))
        ]
        inner = (..., slice(2, -2), slice(2, -2))
        for whole, part in zip(*found, strict=True):
            spread = whole[:, 1:].std()
            assert (part - whole[:, 1:])[inner].abs().mean() < 0.25 * spread
        without = copy.deepcopy(small)
        without.g_s[0].bias.copy_(model.g_s[0].bias)
        errors = [(m.g_s(y[:, 1:]) - model.g_s(y))[..., 32:-32, 32:-32].abs().mean() for m in (small, without)]
        assert errors[0] < 0.5 * errors[1]


def test_a_pruned_model_is_a_model_of_its_size(tiny_model, squares):
    small = resize(tiny_model, 5, squares)
    again = from_weights(small.weights())
    assert (again.N, again.M) == (tiny_model.N, 5)
    bits, x_hat = again.estimate(squares)
    assert torch.isfinite(bits).all()
    assert x_hat.shape == squares.shape
    assert tiny_model.M == 12, "the model that was given stays as it was"
    hooked = [name for name, module in tiny_model.named_modules() if module._forward_pre_hooks or module._forward_hooks]
    assert not hooked, "what listened while units were judged is taken off again"


def test_resize_grows_prunes_or_leaves(tiny_model, squares):
    assert [resize(tiny_model, M, squares).M for M in (9, 12, 14)] == [9, 12, 14]
    with pytest.raises(InputError, match="is more than the 12 latents"):
        prune(tiny_model, 13, squares)
