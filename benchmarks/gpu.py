"""What only a GPU can show: files that a CPU decodes to the same latents, throughput, and training in mixed precision.

Without a GPU the same is run on the CPU, which shows that the check itself works and nothing else.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import best, save, scene, shipped
from satstudy.codecs import LearnedCodec
from satstudy.codecs.learned import checkpoint as zoo
from satstudy.training.config import TrainingConfig
from satstudy.training.loop import Trainer


def main(side: int = 1496, steps: int = 40) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "no GPU: a rehearsal on the CPU"
    figures: dict[str, Any] = {"device": name}
    checkpoints = {"mbt2018": shipped()}
    if path := zoo.shipped_for_every_rate():
        checkpoints["wavelet"] = zoo.load(path)
    else:
        figures["wavelet"] = "skipped: no weights ship"
    image = scene(side)
    for family, checkpoint in checkpoints.items():
        figures |= {f"{family}: {key}": value for key, value in files(checkpoint, image, device).items()}
    figures |= precision(steps, device)
    save("gpu", figures)
    if any(value > 1 for key, value in figures.items() if key.endswith("largest difference of pixels")):
        raise SystemExit("gpu: a file decodes to other pixels on the GPU than on the CPU.")


def files(checkpoint: zoo.Checkpoint, image: np.ndarray, device: str) -> dict[str, Any]:
    """Files of either device decoded by both: latents that differ would show as large differences of pixels."""
    here, there = (
        LearnedCodec(checkpoint, lam=0.013 if checkpoint.serves_every_rate else None, device=d) for d in ("cpu", device)
    )
    coded = [codec.encode(image) for codec in (here, there)]
    decoded = [[codec.decode(data).astype(int) for codec in (here, there)] for data in coded]
    apart = [np.abs(a - b) for a, b in decoded]
    megabytes = image.nbytes / 1e6
    return {
        "files equal": coded[0] == coded[1],
        "largest difference of pixels": max(int(d.max()) for d in apart),
        "share of samples that differ": float(np.mean([(d > 0).mean() for d in apart])),
        "encode MB/s": megabytes / best(lambda: there.encode(image), 2),
        "decode MB/s": megabytes / best(lambda: there.decode(coded[1]), 2),
    }


def precision(steps: int, device: str) -> dict[str, Any]:
    """The last losses, and the steps a second, of a training in float32 and in bfloat16 from the same start."""
    pictures = [scene(256, name) for name in ("parking_lot_or_garage", "airport", "lake_or_pond")]
    figures: dict[str, Any] = {}
    for kind in ("fp32", "bf16"):
        config = TrainingConfig(lam=0.013, steps=steps, batch=4, crop=64, precision=kind, validate_every=10**9)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                config, pictures, pictures, Path(folder), init=shipped().paper_model, device=device, progress=False
            )
            losses = [loss for loss, _, _ in trainer.steps()]
            figures[f"{kind}: loss of the last quarter"] = float(np.mean(losses[-(steps // 4) :]))
            figures[f"{kind}: steps/s"] = steps / trainer.seconds
    return figures
