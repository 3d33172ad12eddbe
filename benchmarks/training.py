"""What a training step costs, and what a minute of training brings: our loop against CompressAI's example.

The example trainer that CompressAI ships is Adam in float32 on contiguous tensors, with noise in the forward
pass. Ours runs the convolutions in bfloat16 where the processor has it, channels last, with SOAP or Adam.
All start from the same random weights and see crops of the same images; each gets the same wall clock, and a
schedule of its learning rate that ends with it.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from compressai.losses import RateDistortionLoss

from benchmarks.common import compressai, save
from satstudy.codecs.mbt2018.model import Model, build
from satstudy.core import paths
from satstudy.core.hardware import settled_for_training
from satstudy.core.types import Pixels
from satstudy.data.images import find_images
from satstudy.data.synthetic.scene import CATEGORIES, draw
from satstudy.training.config import TrainingConfig
from satstudy.training.crops import CropSource
from satstudy.training.loop import Trainer

LAM = 0.013
CONFIG = TrainingConfig(lam=LAM, steps=1000, batch=8, crop=128, validate_every=10**9)
#: Name → changes of the configuration; the learning rates are usual ones for each optimizer, not searched for.
OURS: dict[str, dict[str, Any]] = {
    "Adam, float32": {"optimizer": "adam", "precision": "fp32", "lr": 1e-3},
    "Adam": {"optimizer": "adam", "lr": 1e-3},
    "SOAP": {"optimizer": "soap", "lr": 3e-3},
}
#: Parts of the model that `torch.compile` is tried on.
COMPILED = ("g_a", "g_s", "h_a", "h_s", "context_prediction", "entropy_parameters")
#: Steps that are taken to see how long one takes; the second half counts.
TRIAL = 60
EXAMPLE = "CompressAI's example"


def images() -> tuple[list[Path | Pixels], list[Path | Pixels], str]:
    """To train on and to validate on, and what they are: UC Merced where it is at hand."""
    root = paths.ROOT / "data" / "ucmerced"
    if root.is_dir():
        found = find_images([root])
        number = {path: int(path.stem[-2:]) for path in found}
        return [p for p in found if number[p] < 38], [p for p in found if number[p] in (38, 39)], "UC Merced 00-37"
    names = CATEGORIES
    drawn = [draw(name, i, 0, 0, (512, 512)).image for i in range(4) for name in names]
    return list(drawn[: -len(names)]), list(drawn[-len(names) :]), "synthetic scenes"


class Example:
    """CompressAI's training loop, one step at a time, on the crops of our own source."""

    def __init__(self, source: CropSource, start: Model):
        self.source, self.model, self.step = source, compressai(start).train(), 0
        self.criterion = RateDistortionLoss(lmbda=LAM)
        self.optimizer = torch.optim.Adam(
            [p for name, p in self.model.named_parameters() if not name.endswith("quantiles")], lr=1e-4
        )
        self.auxiliary = torch.optim.Adam([self.model.entropy_bottleneck.quantiles], lr=1e-3)
        # Its example loads in other processes; here a thread does.
        self.waiting = source.prefetch(0, CONFIG.batch)

    def __next__(self) -> None:
        x = self.waiting.result().contiguous()
        self.waiting = self.source.prefetch(self.step + 1, CONFIG.batch)
        self.optimizer.zero_grad()
        self.auxiliary.zero_grad()
        loss = self.criterion(self.model(x), x)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        auxiliary = self.model.aux_loss()
        auxiliary.backward()
        self.auxiliary.step()
        self.step += 1


@settled_for_training()
def main(seconds: float = 240.0) -> None:
    training, validation, label = images()
    torch.manual_seed(0)
    start = build(64, 96)
    figures: dict[str, Any] = {"images": label, "seconds each": seconds}
    with tempfile.TemporaryDirectory() as folder:
        for name in [EXAMPLE, *OURS]:
            rate, loss, bpp, psnr = _run(name, start, training, validation, Path(folder), seconds)
            figures[f"{name}: steps/s"] = rate
            figures[f"{name}: loss after"] = loss
            figures[f"{name}: bpp, PSNR"] = f"{bpp:.3f}, {psnr:.2f}"
            print(name, round(rate, 2), round(loss, 4), round(bpp, 3), round(psnr, 2), flush=True)
        figures["SOAP, torch.compile: steps/s"] = _compiled(start, training, validation, Path(folder))
    save("training", figures)


def _compiled(start: Model, training: Any, validation: Any, folder: Path) -> float | str:
    """Steps a second once all is compiled, which takes a minute; the losses are those of SOAP as it is."""
    trainer = _trainer(TRIAL, start, training, validation, folder / "compiled", **OURS["SOAP"])
    for name in COMPILED:
        trainer.state.model.get_submodule(name).compile()
    try:
        return _rate(trainer)
    except Exception as error:  # no compiler on this machine
        return f"not available ({type(error).__name__})"


def _trainer(steps: int, start: Model, training: Any, validation: Any, folder: Path, **changes: Any) -> Trainer:
    config = dataclasses.replace(CONFIG, steps=steps, **changes)
    return Trainer(config, training, validation, folder, init=start, progress=False)


def _rate(trainer: Trainer) -> float:
    """Steps a second over the second half of a trial."""
    marks = [time.perf_counter() for _ in trainer.steps()]
    return (TRIAL // 2) / (marks[-1] - marks[-1 - TRIAL // 2])


def _run(
    name: str, start: Model, training: Any, validation: Any, folder: Path, seconds: float
) -> tuple[float, float, float, float]:
    """(steps a second, validation loss, bpp, PSNR) after `seconds` of one way to train."""

    def judge(steps: int, **changes: Any) -> Trainer:
        return _trainer(steps, start, training, validation, folder / name, **changes)

    if name == EXAMPLE:
        judged = judge(1)
        example = Example(judged.source, start)
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            next(example)
        spent = time.perf_counter() - began
        for parameter, trained in zip(judged.state.average.values(), example.model.parameters(), strict=True):
            parameter.copy_(trained.detach())
        return example.step / spent, *judged.validate()
    # The schedule has to know how many steps there will be: the first ones tell.
    steps = max(2, round(seconds * _rate(judge(TRIAL, **OURS[name]))))
    trainer = judge(steps, **OURS[name])
    began = time.perf_counter()
    for _ in trainer.steps():
        if time.perf_counter() - began > seconds:
            break
    return trainer.step / (time.perf_counter() - began), *trainer.validate()
