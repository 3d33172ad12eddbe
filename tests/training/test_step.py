"""One step of training: noise that is shared out, gradients, the average, and a state to go on from."""

import copy
import dataclasses

import pytest
import torch

from satstudy.codecs.mbt2018.model import build
from satstudy.core.errors import SatstudyError
from satstudy.training.config import TrainingConfig, learning_rate
from satstudy.training.processes import Process
from satstudy.training.step import Learner, noise

pytestmark = pytest.mark.usefixtures("one_thread")
ALONE = Process(0, 1, torch.device("cpu"))
TINY = TrainingConfig(lam=0.01, steps=8, batch=2, crop=64, warmup=2, precondition_frequency=2, precision="fp32")


def learner(seed: int = 0, **changes) -> Learner:
    torch.manual_seed(seed)
    return Learner(dataclasses.replace(TINY, **changes), build(8, 12), ALONE)


def batch(step: int) -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(step))


def test_noise_is_shared_out_and_differs_by_step_and_kind():
    processes = [Process(rank, 2, torch.device("cpu")) for rank in range(2)]
    alone = noise((4, 3, 2, 2), 0, 5, 0, ALONE)
    assert torch.equal(torch.cat([noise((2, 3, 2, 2), 0, 5, 0, p) for p in processes]), alone)
    assert float(alone.min()) >= -0.5
    assert float(alone.max()) < 0.5
    for seed, step, kind in ((1, 5, 0), (0, 6, 0), (0, 5, 1)):
        assert not torch.equal(noise((4, 3, 2, 2), seed, step, kind, processes[0])[:2], alone[:2])


def test_the_average_follows_the_weights():
    """Lerps by 1 − min(ema, (1 + s) / (10 + s)), by hand."""
    run = learner(optimizer="adam", ema=0.3)
    name = "g_a.0.weight"
    expected = run.average[name].clone()
    for step in range(4):
        run.learn(batch(step), step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * run.model.weights()[name]
        assert torch.allclose(run.average[name], expected, atol=1e-7)
    averaged = run.averaged()
    assert not averaged.training
    assert torch.equal(averaged.g_a[0].weight, run.average[name])


@pytest.mark.parametrize("optimizer", ["soap", "adam"])
def test_a_step_follows_from_the_state_alone(optimizer):
    """Where another learner, of other weights, takes over the state, it learns the same."""
    first = learner(optimizer=optimizer)
    for step in range(3):
        first.learn(batch(step), step)
    state = copy.deepcopy(first.state())  # as a file does
    second = learner(seed=1, optimizer=optimizer)
    assert second.fits(state)
    second.restore(state)
    assert first.learn(batch(3), 3) == second.learn(batch(3), 3)
    ours, theirs = first.model.weights(), second.model.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(torch.equal(first.average[name], second.average[name]) for name in ours if name in first.average)


def test_a_state_of_another_size_does_not_fit():
    torch.manual_seed(0)
    assert not Learner(TINY, build(9, 12), ALONE).fits(learner().state())


def test_the_figures_are_those_of_the_loss():
    """loss = λ·255²·MSE + bpp, with the MSE that the PSNR tells."""
    total, bpp, psnr = learner().learn(batch(0), 0)
    assert total == pytest.approx(TINY.lam * 255**2 * 10 ** (-psnr / 10) + bpp, rel=1e-5)


def test_passes_over_the_context_change_what_is_learned():
    figures = {passes: learner(context_passes=passes).learn(batch(0), 0) for passes in (0, 1, 4)}
    assert len({rate for _, rate, _ in figures.values()}) == 3
    assert figures[0][2] != figures[4][2]


def test_the_rate_of_learning_is_that_of_the_schedule():
    run = learner()
    for step in range(4):
        run.learn(batch(step), step)
        assert {group["lr"] for group in run.optimizer.param_groups} == {learning_rate(TINY, step)}


def test_a_gradient_that_is_not_finite_changes_nothing():
    run = learner()
    with torch.no_grad():
        run.model.g_s[6].bias.fill_(float("nan"))
    before = {name: tensor.clone() for name, tensor in run.model.weights().items() if not name.startswith("g_s.6.bias")}
    with pytest.raises(SatstudyError, match="step 5: lower lr"):
        run.learn(batch(5), 5)
    assert all(torch.equal(tensor, run.model.weights()[name]) for name, tensor in before.items())
