"""One step of training: noise that is shared out, gradients, the average, and a state to go on from."""

import copy
import dataclasses

import pytest
import torch

from satstudy.codecs.mbt2018.model import build
from satstudy.core.errors import SatstudyError
from satstudy.training import step as training_step
from satstudy.training.config import TrainingConfig, learning_rate
from satstudy.training.step import Process, TrainingState, noise

pytestmark = pytest.mark.usefixtures("one_thread")
ALONE = Process(0, 1, torch.device("cpu"))
TINY = TrainingConfig(lam=0.01, steps=8, batch=2, crop=64, warmup=2, precision="fp32")


@pytest.fixture(autouse=True)
def _preconditioners_change_within_a_test(monkeypatch):
    monkeypatch.setattr(training_step, "PRECONDITION_EVERY", 2)


def start(seed: int = 0, **changes) -> TrainingState:
    torch.manual_seed(seed)
    return TrainingState(dataclasses.replace(TINY, **changes), build(8, 12), ALONE)


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


def test_a_process_alone_is_the_first_and_keeps_what_it_has(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    process = Process.current("cpu")
    assert (process.rank, process.world, process.device.type, process.first) == (0, 1, "cpu", True)
    tensor = torch.arange(3.0)
    process.average([tensor])
    assert tensor.tolist() == [0, 1, 2]
    assert process.any(True) is True
    assert process.any(False) is False


def test_the_average_follows_the_weights(monkeypatch):
    """Lerps by 1 − min(decay, (1 + s) / (10 + s)), by hand."""
    monkeypatch.setattr(training_step, "AVERAGE_DECAY", 0.3)
    run = start(optimizer="adam")
    name = "g_a.0.weight"
    expected = run.average[name].clone()
    for step in range(4):
        run.update(batch(step), step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * run.model.weights()[name]
        assert torch.allclose(run.average[name], expected, atol=1e-7)
    averaged = run.averaged()
    assert not averaged.training
    assert torch.equal(averaged.g_a[0].weight, run.average[name])


@pytest.mark.parametrize("optimizer", ["soap", "adam"])
def test_a_step_follows_from_the_state_alone(optimizer):
    """Where another model, of other weights, loads the state, the next step is the same."""
    first = start(optimizer=optimizer)
    for step in range(3):
        first.update(batch(step), step)
    state = copy.deepcopy(first.state_dict())  # as a file does
    second = start(seed=1, optimizer=optimizer)
    assert second.fits(state)
    second.load_state_dict(state)
    assert first.update(batch(3), 3) == second.update(batch(3), 3)
    ours, theirs = first.model.weights(), second.model.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(torch.equal(first.average[name], second.average[name]) for name in ours if name in first.average)


def test_a_state_of_another_size_does_not_fit():
    torch.manual_seed(0)
    assert not TrainingState(TINY, build(9, 12), ALONE).fits(start().state_dict())


def test_the_figures_are_those_of_the_loss():
    """loss = λ·255²·MSE + bpp, with the MSE that the PSNR tells."""
    total, bpp, psnr = start().update(batch(0), 0)
    assert total == pytest.approx(TINY.lam * 255**2 * 10 ** (-psnr / 10) + bpp, rel=1e-5)


def test_passes_over_the_context_change_what_is_learned():
    figures = {passes: start(context_passes=passes).update(batch(0), 0) for passes in (0, 1, 4)}
    assert len({rate for _, rate, _ in figures.values()}) == 3
    assert figures[0][2] != figures[4][2]


def test_the_rate_of_learning_is_that_of_the_schedule():
    run = start()
    for step in range(4):
        run.update(batch(step), step)
        assert {group["lr"] for group in run.optimizer.param_groups} == {learning_rate(TINY, step)}


def test_a_gradient_that_is_not_finite_changes_nothing():
    run = start()
    with torch.no_grad():
        run.model.g_s[6].bias.fill_(float("nan"))
    before = {name: tensor.clone() for name, tensor in run.model.weights().items() if not name.startswith("g_s.6.bias")}
    with pytest.raises(SatstudyError, match="step 5: lower lr"):
        run.update(batch(5), 5)
    assert all(torch.equal(tensor, run.model.weights()[name]) for name, tensor in before.items())
