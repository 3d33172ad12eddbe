"""satstudy.training.config: the learning rate's course, and configurations that are none."""

import dataclasses

import numpy as np
import pytest

from satstudy.core.errors import InputError
from satstudy.training.config import TrainingConfig, learning_rate

TINY = TrainingConfig(lam=0.01, steps=8, batch=2, crop=64)


def test_the_learning_rate_rises_then_falls_to_a_hundredth():
    config = dataclasses.replace(TINY, steps=1000, warmup=100, lr=2.0)
    rates = [learning_rate(config, step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[99] == rates[100] == 2.0
    assert rates[550] == pytest.approx(2.0 * (0.01 + 0.99 / 2))
    assert rates[1000] == pytest.approx(0.02)
    assert np.all(np.diff(rates[:100]) > 0)
    assert np.all(np.diff(rates[100:]) < 0)
    assert learning_rate(dataclasses.replace(config, warmup=0), 0) == 2.0
    assert learning_rate(dataclasses.replace(config, warmup=5000), 999) < 2.0


@pytest.mark.parametrize(
    "change",
    [
        {"lam": 0.0},
        {"lam": 11.0},
        {"steps": 0},
        {"batch": 0},
        {"crop": 32},
        {"crop": 100},
        {"late_crop": 100},
        {"late_batch": -1},
        {"context_passes": -1},
    ],
)
def test_impossible_configurations_are_refused(change):
    with pytest.raises(InputError):
        dataclasses.replace(TINY, **change)


@pytest.mark.parametrize("name", ["log_every", "validate_every"])
def test_intervals_of_no_step_are_refused(name):
    for steps in (0, -1):
        with pytest.raises(InputError, match=r"log_every and validate_every .* must be 1 or more"):
            dataclasses.replace(TINY, **{name: steps})
