"""Training: one loop that can be stopped, resumed and shared without changing what it computes."""

import csv
import dataclasses
import math
import os
import signal
import socket

import pytest
import torch
import torch.multiprocessing

from satstudy.codecs.learned import checkpoint
from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.tensor_files import metadata
from satstudy.training import step
from satstudy.training.config import TrainingConfig
from satstudy.training.loop import CSV_FIELDS, Trainer
from satstudy.training.step import Process

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = TrainingConfig(
    lam=0.01, steps=8, batch=2, crop=64, warmup=2, precision="fp32", log_every=2,
    validate_every=4,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _preconditioners_change_within_a_test(monkeypatch):
    monkeypatch.setattr(step, "PRECONDITION_EVERY", 2)


@pytest.fixture(scope="module")
def images(picture):
    return [picture(80, 100, seed) for seed in range(3)]


def trainer(config, images, folder, **options):
    options = {"N": 8, "M": 12, "device": "cpu", "progress": False, **options}
    return Trainer(config, images, images[:1], folder, **options)


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same_weights(a, b):
    a, b = a.weights(), b.weights()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("optimizer", ["soap", "adam"])
def test_a_run_that_was_stopped_twice_ends_with_the_same_weights(images, tmp_path, optimizer):
    config = dataclasses.replace(TINY, optimizer=optimizer)
    whole = trainer(config, images, tmp_path / "whole", N=24, M=36)
    whole.run()
    for until in (3, 5):
        assert trainer(config, images, tmp_path / "cut", N=24, M=36).run(until=until) is None
    resumed = trainer(config, images, tmp_path / "cut", N=24, M=36)
    path = resumed.run()
    assert path == tmp_path / "cut" / "weights.safetensors"
    assert same_weights(whole.state.model, resumed.state.model)
    assert all(torch.equal(whole.state.average[name], resumed.state.average[name]) for name in whole.state.average)
    assert same_weights(*(checkpoint.load(tmp_path / name / "weights.safetensors").model for name in ("whole", "cut")))
    keys = [(row["step"], row["split"]) for row in rows(tmp_path / "cut")]
    assert len(keys) == len(set(keys))
    assert [row["step"] for row in rows(tmp_path / "whole") if row["split"] == "train"] == ["2", "4", "6", "8"]
    text = metadata(path)
    assert (text["N"], text["M"], text["lam"], text["steps"]) == ("24", "36", "0.01", "8")


def test_crops_change_when_the_learning_rate_begins_to_fall(images, tmp_path, monkeypatch):
    config = dataclasses.replace(TINY, warmup=1, hold=2, late_batch=1, late_crop=128)
    run = trainer(config, images, tmp_path)
    shapes, update = [], run.state.update
    monkeypatch.setattr(run.state, "update", lambda x, step: shapes.append(tuple(x.shape)) or update(x, step))
    run.run()
    assert shapes == [(2, 3, 64, 64)] * 3 + [(1, 3, 128, 128)] * (config.steps - 3)


def test_an_interrupt_stops_between_steps_and_the_run_goes_on(images, tmp_path, monkeypatch):
    whole = trainer(TINY, images, tmp_path / "whole")
    whole.run()
    broken = trainer(TINY, images, tmp_path / "broken")
    learn = broken.state.update

    def interrupted(x, step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return learn(x, step)

    monkeypatch.setattr(broken.state, "update", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="step 3"):
        broken.run()
    assert signal.getsignal(signal.SIGINT) is handler
    resumed = trainer(TINY, images, tmp_path / "broken")
    resumed.run()
    assert same_weights(whole.state.model, resumed.state.model)


def test_an_interrupt_at_the_last_step_of_a_part_is_not_lost(images, tmp_path, monkeypatch):
    broken = trainer(TINY, images, tmp_path)
    learn = broken.state.update
    monkeypatch.setattr(broken.state, "update", lambda *a: (os.kill(os.getpid(), signal.SIGINT), learn(*a))[1])
    with pytest.raises(KeyboardInterrupt):
        broken.run(until=1)


def test_rows_after_the_saved_state_are_forgotten_whole_or_cut(images, tmp_path):
    trainer(TINY, images, tmp_path).run(until=4)
    before = rows(tmp_path)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("6,train,1.0,1.0,20.0,1e-3,5.0\n8,validation,1.0,1.0,20.0,1e-3,5.0\n1")  # killed in a row
    trainer(TINY, images, tmp_path).run()
    after = rows(tmp_path)
    assert after[: len(before)] == before
    assert [(row["step"], row["split"]) for row in after] == [
        ("2", "train"), ("4", "train"), ("4", "validation"), ("6", "train"), ("8", "train"), ("8", "validation"),
    ]  # fmt: skip
    assert all(list(row) == list(CSV_FIELDS) and None not in row.values() for row in after)


def test_another_configuration_or_size_is_not_resumed(images, tmp_path):
    trainer(TINY, images, tmp_path).run(until=1)
    with pytest.raises(InputError, match="another configuration"):
        trainer(dataclasses.replace(TINY, lr=1e-4), images, tmp_path).run()
    with pytest.raises(InputError, match="another configuration"):
        trainer(TINY, images, tmp_path, N=9).run()


def test_a_finished_run_is_finished(images, tmp_path):
    config = dataclasses.replace(TINY, steps=2)
    trainer(config, images, tmp_path).run()
    before = (tmp_path / "metrics.csv").read_text()
    again = trainer(config, images, tmp_path)
    assert again.run() == tmp_path / "weights.safetensors"
    assert again.step == 2
    assert (tmp_path / "metrics.csv").read_text() == before


def test_a_short_run_lowers_the_loss(images, tmp_path):
    config = dataclasses.replace(TINY, steps=40, lr=3e-3, log_every=5, validate_every=100, batch=4)
    trainer(config, images, tmp_path).run()
    losses = [float(row["loss"]) for row in rows(tmp_path) if row["split"] == "train"]
    assert losses[-1] < 0.7 * losses[0]
    assert all(math.isfinite(loss) for loss in losses)


def test_a_run_starts_from_given_weights(images, tmp_path, tiny_model):
    started = trainer(TINY, images, tmp_path, init=tiny_model, N=64, M=96)
    assert same_weights(started.state.model, tiny_model)
    assert started.state.model is not tiny_model
    before = {name: p.clone() for name, p in tiny_model.weights().items()}
    started.state.update(started.source.batch(0, 2), 0)
    assert all(torch.equal(before[name], p) for name, p in tiny_model.weights().items())


def test_a_loss_that_is_not_finite_stops_the_run(images, tmp_path):
    run = trainer(TINY, images, tmp_path)
    with torch.no_grad():
        run.state.model.g_s[6].bias.fill_(float("nan"))
    with pytest.raises(SatstudyError, match="step 0"):
        run.run()


def share(rank, port, folder, images, config):
    """One of two processes, as torchrun starts them."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    run = trainer(config, images, folder)
    if rank == 1:  # only one of them hears of an interrupt
        learn = run.state.update
        run.state.update = lambda x, step: (step == 1 and os.kill(os.getpid(), signal.SIGINT), learn(x, step))[1]
    try:
        run.run()
        raise AssertionError("not interrupted")
    except KeyboardInterrupt:
        assert run.step == 2
    trainer(config, images, folder).run()
    torch.distributed.destroy_process_group()


def test_two_processes_train_as_one_and_stop_together(images, tmp_path):
    config = dataclasses.replace(TINY, steps=6, batch=4, log_every=1, optimizer="adam")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    torch.multiprocessing.spawn(share, (port, tmp_path / "two", images, config), nprocs=2)
    trainer(config, images, tmp_path / "one").run()
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [(row["step"], row["split"]) for row in one] == [(row["step"], row["split"]) for row in two]
    for a, b in zip(one, two, strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-4)


def test_a_batch_that_does_not_divide_is_refused(images, tmp_path, monkeypatch):
    monkeypatch.setattr(Process, "current", staticmethod(lambda device: Process(0, 3, torch.device("cpu"))))
    with pytest.raises(InputError, match="divide"):
        trainer(TINY, images, tmp_path)
