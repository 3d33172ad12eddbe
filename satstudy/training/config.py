"""What defines a training run, and its learning rate at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from satstudy.core.errors import InputError


@dataclass(frozen=True)
class TrainingConfig:
    """What defines a run; two runs with equal configurations and images give equal weights.

    Attributes
    ----------
    lam : CompressAI's λ in `lam * 255² * MSE + bpp`
    steps : optimizer steps in all
    batch : crops a step, over all processes
    crop : side of a crop in pixels, a multiple of 64
    lr : peak learning rate; `warmup` steps up to it, then a cosine to 1 % of it
    optimizer : "soap" (Vyas et al., *SOAP*, ICLR 2025) or "adam"
    precision : "bf16" or "fp32" for the convolutions; "auto" is bf16 where the processor has it
    context_passes : how often the latents are decoded anew before the context model sees them
        (`satstudy.codecs.mbt2018.model.Model.decoded`); with 0 it sees them with noise
    """

    lam: float
    steps: int
    batch: int = 8
    crop: int = 128
    lr: float = 2e-3
    warmup: int = 100
    optimizer: Literal["soap", "adam"] = "soap"
    precondition_frequency: int = 10
    max_precondition_dim: int = 256
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    ema: float = 0.999
    context_passes: int = 0
    clip: float = 1.0
    aux_lr: float = 1e-3
    seed: int = 0
    validate_every: int = 500
    save_every: int = 500
    log_every: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.lam < 10:
            raise InputError(f"lam = {self.lam} is no trade-off of this loss: take it between 0 and 10 (paper: ~0.01).")
        if self.steps < 1 or self.batch < 1:
            raise InputError("steps and batch must be 1 or more.")
        if not 0 <= self.context_passes <= 100:
            raise InputError(f"context_passes = {self.context_passes} must be between 0 and 100; 6 come near.")
        if min(self.log_every, self.save_every, self.validate_every) < 1:
            raise InputError("log_every, save_every and validate_every count steps: each must be 1 or more.")
        if self.crop < 64 or self.crop % 64:
            raise InputError(f"crop = {self.crop} must be a multiple of 64, the stride of the hyper-latents.")


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then a cosine from `lr` to 1 % of it at the last step."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
