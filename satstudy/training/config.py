"""The settings of a training run, and its learning rate at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from satstudy.core.errors import InputError


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a run. Equal settings and images give equal weights on one machine.

    Attributes
    ----------
    lam : λ of the loss (`satstudy.core.loss`); two numbers train one model for every λ between them (wavelet codec)
    steps : optimizer steps
    batch : crops per step, summed over all processes
    crop : side of a crop in pixels, a multiple of 64
    lr : peak learning rate, see `learning_rate`
    warmup : steps of linear warm-up
    hold : steps after it at the peak, before the rate falls
    late_batch, late_crop : crops per step and their side while the rate falls; 0 leaves them as they are
    optimizer : "soap" (Vyas et al., *SOAP*, ICLR 2025) or "adam"
    precision : of the convolutions, "bf16" or "fp32"; "auto" is bf16 where the processor has it
    context_passes : how many times the latents are decoded again before the context model sees them
        (`satstudy.codecs.mbt2018.model.Model.decoded`); with 0 it sees latents with noise
    noisy_steps : first steps of a wavelet codec, in which its networks see coefficients with noise
        (`satstudy.codecs.wavelet.model.WaveletModel.forward`)
    recolour : change contrast, brightness and colour balance of half of the crops, as other sensors would
    validate_every, log_every : steps; the state is saved whenever the run is validated
    """

    lam: float | tuple[float, float]
    steps: int
    batch: int = 8
    crop: int = 128
    lr: float = 2e-3
    warmup: int = 100
    hold: int = 0
    late_batch: int = 0
    late_crop: int = 0
    optimizer: Literal["soap", "adam"] = "soap"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    context_passes: int = 0
    noisy_steps: int = 0
    recolour: bool = False
    seed: int = 0
    validate_every: int = 500
    log_every: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.lams[0] <= self.lams[1] < 10:
            raise InputError(f"lam = {self.lam} is no trade-off of this loss: take it between 0 and 10 (paper: ~0.01).")
        if self.steps < 1 or self.batch < 1:
            raise InputError("steps and batch must be 1 or more.")
        if not 0 <= self.context_passes <= 100:
            raise InputError(f"context_passes = {self.context_passes} must be between 0 and 100; 6 come near.")
        if min(self.log_every, self.validate_every) < 1:
            raise InputError("log_every and validate_every count steps: each must be 1 or more.")
        for side in (self.crop, self.late_crop or self.crop):
            if side < 64 or side % 64:
                raise InputError(f"crop = {side} must be a multiple of 64, the stride of the hyper-latents.")
        if self.late_batch < 0:
            raise InputError("late_batch must be 0 or more.")

    @property
    def lams(self) -> tuple[float, float]:
        """The smallest and the largest λ of the loss."""
        return self.lam if isinstance(self.lam, tuple) else (self.lam, self.lam)


def crops_at(config: TrainingConfig, step: int) -> tuple[int, int]:
    """(crops, their side in pixels) of the batch at `step`, counted from 0.

    >>> config = TrainingConfig(lam=0.01, steps=1000, hold=400, warmup=100, late_batch=2, late_crop=256)
    >>> crops_at(config, 499), crops_at(config, 500)
    ((8, 128), (2, 256))
    """
    if step < config.warmup + config.hold:
        return config.batch, config.crop
    return config.late_batch or config.batch, config.late_crop or config.crop


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The learning rate at `step`, counted from 0: linear warm-up to `lr`, `hold`, then a cosine to 1 % of it.

    >>> config = TrainingConfig(lam=0.01, steps=1000, warmup=100, lr=2e-3)
    >>> [f"{learning_rate(config, step):.1e}" for step in (0, 99, 550, 999)]
    ['2.0e-05', '2.0e-03', '1.0e-03', '2.0e-05']
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    start = config.warmup + config.hold
    progress = min(1.0, max(0.0, (step - start) / max(1, config.steps - start)))
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
