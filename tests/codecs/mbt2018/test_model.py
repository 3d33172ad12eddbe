"""The model is CompressAI's, and its training pass computes CompressAI's loss."""

import copy

import pytest
import torch
from compressai.losses import RateDistortionLoss
from compressai.models import JointAutoregressiveHierarchicalPriors
from oracle import compressai

from satstudy.codecs.coding.engine import unit_shape
from satstudy.codecs.mbt2018.model import build, from_weights
from satstudy.core.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 64, 128, generator=generator)
    noise = [torch.rand(shape, generator=generator) - 0.5 for shape in ((2, 12, 4, 8), (2, 8, 1, 2))]
    return x, *noise


def test_rate_and_loss_are_those_of_compressai(tiny_model, batch):
    x, noise_y, noise_z = batch
    with torch.no_grad():
        output = tiny_model.training_pass(x, noise_y, noise_z, torch.float32)
        model = compressai(tiny_model)
        y = model.g_a(x)
        z = model.h_a(y)
        # The likelihoods as CompressAI computes them, for the same noise.
        _, likelihood_z = model.entropy_bottleneck(z + noise_z, training=False)
        values = (z + noise_z).transpose(0, 1).reshape(8, 1, -1)
        likelihood_z = model.entropy_bottleneck._likelihood(values)[0]
        medians = model.entropy_bottleneck._get_medians().reshape(1, -1, 1, 1)
        z_hat = torch.round(z - medians) + medians
        parameters = torch.cat((model.h_s(z_hat), model.context_prediction(y + noise_y)), 1)
        scales, means = model.entropy_parameters(parameters).chunk(2, 1)
        likelihood_y = model.gaussian_conditional._likelihood(y + noise_y, scales, means).clamp_min(1e-9)
        x_hat = model.g_s(torch.round(y - means) + means)
        theirs = RateDistortionLoss(lmbda=0.02)(
            {"x_hat": x_hat, "likelihoods": {"y": likelihood_y, "z": likelihood_z}}, x
        )
        ours = tiny_model.loss(output, x, 0.02)
    assert torch.allclose(output.x_hat, x_hat, atol=1e-5)
    assert ours.total.item() == pytest.approx(theirs["loss"].item(), rel=1e-4)
    assert ours.bpp.item() == pytest.approx(theirs["bpp_loss"].item(), rel=1e-4)
    assert ours.mse.item() == pytest.approx(theirs["mse_loss"].item(), rel=1e-4)


def test_every_parameter_but_the_quantiles_gets_a_gradient(tiny_model, batch):
    model = copy.deepcopy(tiny_model)
    x, noise_y, noise_z = batch
    model.loss(model.training_pass(x, noise_y, noise_z, torch.float32), x, 0.01).total.backward()
    for name, p in model.named_parameters():
        assert (p.grad is None) == name.endswith("quantiles"), name
        assert p.grad is None or bool(p.grad.abs().sum() > 0), name
    names = {id(p) for p in model.main_parameters()}
    assert [n for n, p in model.named_parameters() if id(p) not in names] == ["entropy_bottleneck.quantiles"]


def test_bfloat16_gives_nearly_the_same_loss_with_likelihoods_in_float32(tiny_model, batch):
    x, noise_y, noise_z = batch
    with torch.no_grad():
        full, half = (tiny_model.training_pass(x, noise_y, noise_z, t) for t in (torch.float32, torch.bfloat16))
    assert half.x_hat.dtype == half.bits_y.dtype == torch.float32
    assert half.bits_y.item() == pytest.approx(full.bits_y.item(), rel=0.05)


def test_the_estimate_has_the_rate_of_compressais_forward(tiny_model):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    bits, x_hat = tiny_model.estimate(x)
    with torch.no_grad():
        theirs = compressai(tiny_model)(x)
    expected = sum(-torch.log2(likelihood).flatten(1).sum(1) for likelihood in theirs["likelihoods"].values())
    assert bits.shape == (2,)
    assert torch.allclose(bits, expected, rtol=1e-4)
    assert torch.allclose(x_hat * 255, torch.round(x_hat * 255), atol=1e-3)
    assert float(x_hat.min()) >= 0
    assert float(x_hat.max()) <= 1


def test_passes_over_the_context_end_with_the_latents_that_compressai_decodes(tiny_model):
    """One pass more for each step of the wavefront; CompressAI goes position by position."""
    model, theirs = copy.deepcopy(tiny_model), compressai(tiny_model)
    x = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        coded = theirs.compress(x)
        theirs = theirs.decompress(coded["strings"], coded["shape"])["x_hat"]
        y = model.g_a(x)
        hyper = model.h_s(model.entropy_bottleneck(model.h_a(y))[0])
        steps = 8 + 3 * 3
        found = [model.decoded(y, hyper, passes) for passes in (0, 1, steps, steps + 5)]
        assert torch.equal(found[0], torch.round(y))
        assert torch.allclose(model.g_s(found[2]).clamp(0, 1), theirs, atol=1e-4)
        assert torch.allclose(found[2], found[3], atol=1e-4), "nothing is left to change"
        assert not torch.allclose(found[1], found[2], atol=0.1)
        # The estimate is of these latents.
        assert torch.allclose(model.estimate(x, steps)[1], torch.round(theirs * 255) / 255, atol=1.1 / 255)


def test_the_context_sees_what_is_decoded_and_hands_its_gradient_on(tiny_model, batch):
    model = copy.deepcopy(tiny_model)
    x, noise_y, noise_z = batch
    with torch.no_grad():
        y = model.g_a(x)
        medians = model.entropy_bottleneck._get_medians().reshape(1, -1, 1, 1)
        hyper = model.h_s(torch.round(model.h_a(y) - medians) + medians)
        context = model.context_prediction(model.decoded(y, hyper, 3))
        scales, means = model.entropy_parameters(torch.cat((hyper, context), 1)).chunk(2, 1)
        expected = -torch.log2(model.gaussian_conditional._likelihood(y + noise_y, scales, means).clamp_min(1e-9)).sum()
    output = model.training_pass(x, noise_y, noise_z, torch.float32, 3)
    assert output.bits_y.item() == pytest.approx(expected.item(), rel=1e-4)
    assert output.bits_y.item() != pytest.approx(
        model.training_pass(x, noise_y, noise_z, torch.float32).bits_y.item(), rel=1e-4
    )
    model.loss(output, x, 0.01).total.backward()
    for name, p in model.named_parameters():
        assert name.endswith("quantiles") or bool(p.grad.abs().sum() > 0), name


def test_weights_make_the_same_model(tiny_model, batch):
    other = from_weights({name: tensor.clone() for name, tensor in tiny_model.weights().items()})
    assert (other.N, other.M, other.training) == (8, 12, False)
    with torch.no_grad():
        x = batch[0]
        assert torch.equal(other.g_s(other.g_a(x)), tiny_model.g_s(tiny_model.g_a(x)))
    theirs = JointAutoregressiveHierarchicalPriors(8, 12)
    assert from_weights(theirs.state_dict()).M == 12  # with CompressAI's derived buffers


def test_weights_do_not_change_with_the_first_forward_pass():
    model = build(4, 6)
    before = {name: tensor.clone() for name, tensor in model.weights().items()}
    model.estimate(torch.rand(1, 3, 64, 64))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.weights().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("g_a.0.weight"), "mbt2018"),
        (lambda w: w.pop("g_s.4.beta", None) or w.pop("g_s.5.beta"), "g_s.5.beta"),
        (lambda w: w.update(extra=torch.zeros(1)), "extra"),
        (lambda w: w.update({"h_a.0.bias": torch.zeros(9)}), "h_a.0.bias"),
        (lambda w: w["h_a.0.bias"].fill_(float("nan")), "finite"),
        (lambda w: w["g_s.6.bias"].fill_(float("inf")), "finite"),
        (lambda w: w.update({"g_a.0.weight": torch.zeros(())}), "mbt2018"),
        (lambda w: w.update({"g_a.0.weight": torch.zeros(2000, 0)}), "N = 2000"),
        (lambda w: w.update({"g_a.0.weight": torch.zeros(1024, 0), "g_a.6.weight": torch.zeros(1024, 0)}), "g_a.2"),
    ],
)
def test_weights_of_another_kind_are_refused(tiny_model, change, message):
    weights = {name: tensor.clone() for name, tensor in tiny_model.weights().items()}
    change(weights)
    with pytest.raises(InputError, match=message):
        from_weights(weights)


@pytest.mark.parametrize(("N", "M"), [(0, 12), (8, 2), (1025, 12), (8, 1025)])
def test_impossible_sizes_are_refused(N, M):
    with pytest.raises(InputError, match="sizes"):
        build(N, M)


def test_latents_cover_the_image():
    assert [unit_shape(*size) for size in [(1, 1), (16, 17), (33, 256)]] == [(1, 1), (1, 2), (3, 16)]
