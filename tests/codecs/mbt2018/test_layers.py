"""Our layers are CompressAI's, number by number, in both directions."""

import subprocess
import sys

import pytest
import torch
from oracle import compressai

from satstudy.codecs.mbt2018.model import build

pytestmark = pytest.mark.usefixtures("one_thread")


def passed(model, x):
    """Everything that the layers give for a batch, and the gradients of all parameters."""
    torch.manual_seed(3)
    y = model.g_a(x)
    z = model.h_a(y)
    z_hat, likelihood_z = model.entropy_bottleneck(z)
    hyper = model.h_s(z_hat)
    y_hat, likelihood_y = model.gaussian_conditional(y, hyper.chunk(2, 1)[0], means=hyper.chunk(2, 1)[1])
    scales, means = model.entropy_parameters(torch.cat((hyper, model.context_prediction(y_hat)), 1)).chunk(2, 1)
    again, conditional = model.gaussian_conditional(y, scales, means=means)
    x_hat = model.g_s(y_hat)
    found = (y, z, z_hat, likelihood_z, y_hat, likelihood_y, again, conditional, x_hat)
    loss = x_hat.mean() - conditional.log().sum() - likelihood_y.log().sum() - likelihood_z.log().sum()
    (loss + model.aux_loss()).backward()
    return found, [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("training", [True, False])
def test_every_layer_and_every_gradient_is_compressais(tiny_model, training):
    ours, theirs = build(8, 12), compressai(tiny_model)
    ours.load_state_dict(tiny_model.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    x = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    (found, gradients), (expected, their_gradients) = (passed(model.train(training), x) for model in (ours, theirs))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(gradients, their_gradients, strict=True))


def test_quantiles_are_found_where_compressai_finds_them(tiny_model):
    ours, theirs = build(8, 12), compressai(tiny_model)
    ours.load_state_dict(tiny_model.state_dict())
    for model in (ours, theirs):
        with torch.no_grad():
            model.entropy_bottleneck.quantiles.fill_(0)
        model.entropy_bottleneck._update_quantiles()
    assert torch.equal(ours.entropy_bottleneck.quantiles, theirs.entropy_bottleneck.quantiles)
    assert torch.equal(ours.entropy_bottleneck.target, theirs.entropy_bottleneck.target)


def test_a_seed_gives_the_weights_that_it_gives_compressai():
    from compressai.models import JointAutoregressiveHierarchicalPriors

    torch.manual_seed(7)
    theirs = dict(JointAutoregressiveHierarchicalPriors(8, 12).named_parameters())
    torch.manual_seed(7)
    for name, ours in build(8, 12).named_parameters():
        assert torch.equal(ours, theirs[name]), name


def test_coding_imports_nothing_that_it_does_not_need():
    code = "import sys, satstudy.codecs.learned.codec; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300).stdout.split()
    assert "torch" in modules
    assert not {"compressai", "torchvision", "torch_geometric", "scipy", "pandas", "matplotlib"} & set(modules)
