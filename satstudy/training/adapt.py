"""A wavelet codec adapted to a new sensor: a few tensors trained on some images, kept as a difference to the weights.

What is trained are the quantization steps, the layers that predict means and scales, and the network that corrects the
decoded image; the symbol tables are counted anew. The rest, nine tenths of the weights, stays as it is.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.checkpoint import Checkpoint
from satstudy.codecs.wavelet.config import LAM_MAX, LAM_MIN
from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.training.config import TrainingConfig
from satstudy.training.loop import Trainer

#: Side of the crops in pixels.
CROP = 128


def is_adapted(name: str) -> bool:
    """Whether the parameter of this name changes.

    >>> is_adapted("networks.levels.0.head.3.weight"), is_adapted("networks.levels.0.trunk.0.weight")
    (True, False)
    """
    return name.startswith(("gain", "after.")) or ".head." in name


def adapt(
    base: Checkpoint,
    images: Sequence[Path | Pixels],
    target: Path | str,
    *,
    steps: int = 400,
    lr: float = 5e-4,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> Path:
    """Adapt weights for every rate to images, and write the difference; stopped and called again, it goes on.

    Parameters
    ----------
    images : of the new sensor, some 25; crops of 128×128 pixels are drawn from them
    target : path of the difference, a few hundred KB; `satstudy.codecs.learned.checkpoint.load` reads it where the
        base weights are at hand
    lr : peak learning rate
    device : see `satstudy.training.loop.Trainer`

    Raises
    ------
    InputError
        The base is for one rate alone, or there is no image.
    """
    model = copy.deepcopy(base.wavelet_model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_adapted(name))
    target = Path(target)
    if target.suffix != ".safetensors":
        raise InputError(f"{target} is to be a file of weights: give it the ending .safetensors.")
    folder = target.with_name(target.name + ".training")
    config = TrainingConfig(
        lam=(LAM_MIN, LAM_MAX),
        steps=steps,
        crop=CROP,
        lr=lr,
        warmup=min(20, steps),
        optimizer="adam",
        precision="fp32",
        seed=seed,
        validate_every=max(1, steps // 4),
    )
    trained = Trainer(config, images, (), folder, init=model, device=device, progress=progress).run()
    assert trained is not None
    checkpoint.save_difference(target, base, checkpoint.load(trained))
    shutil.rmtree(folder)
    return target
