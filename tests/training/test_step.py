"""One step of training: noise that is shared out, gradients, the average, and a state to go on from."""

import copy
import dataclasses

import pytest
import torch

from satstudy.codecs.mbt2018.model import build
from satstudy.codecs.wavelet.config import WaveletConfig
from satstudy.codecs.wavelet.model import WaveletModel
from satstudy.core.errors import InputError, SatstudyError
from satstudy.training import step as training_step
from satstudy.training.config import TrainingConfig, learning_rate
from satstudy.training.step import Process, TrainingState, noise, training_state

pytestmark = pytest.mark.usefixtures("one_thread")
ALONE = Process(0, 1, torch.device("cpu"))
TINY = TrainingConfig(lam=0.01, steps=8, batch=2, crop=64, warmup=2, precision="fp32")


@pytest.fixture(autouse=True)
def _preconditioners_change_within_a_test(monkeypatch):
    monkeypatch.setattr(training_step, "PRECONDITION_EVERY", 2)


def start(seed: int = 0, **changes) -> TrainingState:
    torch.manual_seed(seed)
    return training_state(dataclasses.replace(TINY, **changes), build(8, 12), ALONE)


def start_wavelet(process: Process = ALONE, seed: int = 0, **changes) -> TrainingState:
    torch.manual_seed(seed)
    config = dataclasses.replace(TINY, lam=(0.001, 0.1), noisy_steps=1, **changes)
    return training_state(config, WaveletModel(WaveletConfig((6, 8), (1, 1), 4)), process)


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


@pytest.mark.parametrize(("begin", "optimizer"), [(start, "soap"), (start, "adam"), (start_wavelet, "adam")])
def test_a_step_follows_from_the_state_alone(begin, optimizer):
    """Where another model, of other weights, loads the state, the next step is the same."""
    first = begin(optimizer=optimizer)
    for step in range(3):
        first.update(batch(step), step)
    state = copy.deepcopy(first.state_dict())  # as a file does
    second = begin(seed=1, optimizer=optimizer)
    assert second.fits(state)
    second.load_state_dict(state)
    assert first.update(batch(3), 3) == second.update(batch(3), 3)
    ours, theirs = first.model.weights(), second.model.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(torch.equal(first.average[name], second.average[name]) for name in ours if name in first.average)


def test_a_state_of_another_size_does_not_fit():
    torch.manual_seed(0)
    assert not training_state(TINY, build(9, 12), ALONE).fits(start().state_dict())


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
        assert {group["lr"] for group in run.optimizers[0].param_groups} == {learning_rate(TINY, step)}


def test_a_gradient_that_is_not_finite_changes_nothing():
    run = start()
    with torch.no_grad():
        run.model.g_s[6].bias.fill_(float("nan"))
    before = {name: tensor.clone() for name, tensor in run.model.weights().items() if not name.startswith("g_s.6.bias")}
    with pytest.raises(SatstudyError, match="step 5: lower lr"):
        run.update(batch(5), 5)
    assert all(torch.equal(tensor, run.model.weights()[name]) for name, tensor in before.items())


def test_each_crop_of_a_wavelet_codec_has_its_own_lam_and_every_rate_counts_alike():
    """The loss is the mean over crops of λ·255²·MSE + bpp by (λ / 0.01)^0.45; λ is uniform in its logarithm."""
    run = start_wavelet()
    x, seen = batch(0), []
    forward = run.model.forward

    def recorded(x, lam, noise, early):
        bits, x_hat = forward(x, lam, noise, early)
        seen.append((lam, bits / 64**2, ((x_hat - x) ** 2).mean((1, 2, 3))))
        return bits, x_hat

    run.model.forward = recorded
    total, bpp, psnr = run.update(x, 0)
    lam, bits, mse = (values.detach() for values in seen[0])
    assert total == pytest.approx(float(((lam * 65025 * mse + bits) / (lam / 0.01) ** 0.45).mean()), rel=1e-5)
    assert (bpp, psnr) == pytest.approx((float(bits.mean()), float(-10 * mse.mean().log10())), rel=1e-5)
    for step in range(1, 200):
        run.model.forward = lambda x, lam, noise, early: seen.append((lam,)) or forward(x[:, :, :16, :16], lam)
        run.loss(x[:, :, :16, :16], step)
    logs = torch.cat([entry[0] for entry in seen]).log10()
    assert float(logs.min()) >= -3
    assert float(logs.max()) <= -1
    assert abs(float(logs.mean()) + 2) < 0.1
    assert abs(float(logs.std()) - 2 / 12**0.5) < 0.05


def test_two_processes_share_the_noise_and_the_lam_of_a_wavelet_batch():
    x = batch(0)
    alone = start_wavelet().loss(x, 0).total.item()
    halves = []
    for rank in range(2):
        run = start_wavelet(Process(rank, 2, torch.device("cpu")))
        halves.append(run.loss(x[rank : rank + 1], 0).total.item())
    assert alone == pytest.approx(sum(halves) / 2, rel=1e-5)


def test_a_model_of_one_rate_refuses_a_range():
    with pytest.raises(InputError, match="one λ"):
        training_state(dataclasses.replace(TINY, lam=(0.001, 0.1)), build(8, 12), ALONE)


def test_a_wavelet_codec_learns():
    run = start_wavelet(optimizer="adam", warmup=1, lr=5e-3, steps=60)
    x = torch.nn.functional.interpolate(batch(1)[:, :, :8, :8], 64, mode="bilinear")
    losses = [run.update(x, step)[0] for step in range(40)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    averaged = run.averaged()
    assert not averaged.training
    bits, decoded = run.estimate(averaged, x, 0.01)
    assert bits.shape == (2,)
    assert torch.equal((decoded * 255).round() / 255, decoded)
