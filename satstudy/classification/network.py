"""The classifier: which network, how it starts, and how images are put before it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import timm
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from satstudy.classification.coded_images import CodedSet
from satstudy.core.errors import InputError
from satstudy.core.hardware import fast_bf16
from satstudy.core.paths import atomic


@dataclass(frozen=True)
class ClassifierConfig:
    """What defines a training; on a CPU, two with equal configurations and images give equal weights.

    Attributes
    ----------
    arch : a timm model, "dpn92" in the paper
    arch_options : further arguments of the timm model, for instance the depths and widths of a slimmer one
    epochs, batch : passes over the training set, and images a step
    optimizer : "sgd" (momentum 0.9, as the paper's source) or "adamw"
    lr : peak learning rate; None takes 0.003 · batch / 128 for SGD (paper's source) and 0.002 for AdamW
    weight_decay : None takes 0 for SGD and 0.05 for AdamW
    schedule : "step" (× 0.2 every `step_epochs`, paper's source) or "one-cycle" (up to the peak and down to zero)
    crop : side in pixels of the random part of an image that is shown; validation takes the centre
    one_per_object : show one random image of each object an epoch (paper's source) instead of all
    tta : views averaged in validation: "none", "flips" (the eight symmetries) or "ten-crop" (paper's source)
    label_smoothing : 0 is none
    pretrained : start from timm's published ImageNet weights, which needs a network once
    init : start from a local file of weights (safetensors, or a tensors-only .pth); the head may differ
    precision : of the convolutions; "auto" is bf16 where the processor has it
    """

    arch: str = "dpn48b"
    arch_options: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 20
    batch: int = 16
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float | None = None
    weight_decay: float | None = None
    schedule: Literal["one-cycle", "step"] = "one-cycle"
    step_epochs: int = 6
    crop: int = 96
    one_per_object: bool = False
    tta: Literal["none", "flips", "ten-crop"] = "flips"
    label_smoothing: float = 0.0
    pretrained: bool = False
    init: str | None = None
    precision: Literal["auto", "bf16", "fp32"] = "auto"

    def __post_init__(self) -> None:
        if min(self.epochs, self.step_epochs) < 1:
            raise InputError("epochs and step_epochs must be 1 or more.")
        if self.batch < 4:
            raise InputError(f"batch = {self.batch} is too few for the batch norms: take 4 or more (paper: 128).")
        if self.crop < 8:
            raise InputError(f"crop = {self.crop} pixels shows nothing: take 64 or more (paper: 224).")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label_smoothing = {self.label_smoothing} must lie in [0, 1).")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} = {getattr(self, name)!r} is none of {', '.join(known)}.")
        if self.pretrained and self.init:
            raise InputError("Give either pretrained or init: both name weights to start from.")

    @property
    def peak(self) -> float:
        """The peak learning rate in use."""
        if self.lr is not None:
            return self.lr
        return 0.003 * self.batch / 128 if self.optimizer == "sgd" else 0.002


_CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("one-cycle", "step"),
    "tta": ("none", "flips", "ten-crop"),
    "precision": ("auto", "bf16", "fp32"),
}


def build(config: ClassifierConfig, classes: int) -> nn.Module:
    """The network before training; random weights come from torch's own generator.

    Raises
    ------
    InputError
        An unknown architecture (the message names near ones), options it does not take, or weights that
        cannot be had or do not fit.
    """
    if not timm.is_model(config.arch):
        near = difflib.get_close_matches(config.arch, timm.list_models(), n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them."
        raise InputError(f"timm knows no architecture {config.arch!r}: {hint}")
    options = {**config.arch_options, "num_classes": classes}
    try:
        model: nn.Module = timm.create_model(config.arch, pretrained=config.pretrained, **options)
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        if config.pretrained:
            raise InputError(
                f"The published weights of {config.arch} cannot be had here ({reason}): name a local file "
                "with init, or set pretrained to false."
            ) from error
        raise InputError(f"{config.arch} cannot be built with {dict(config.arch_options)} ({reason}).") from error
    if config.init is not None:
        _start_from(model, Path(config.init), config.arch)
    return model


def _start_from(model: nn.Module, path: Path, arch: str) -> None:
    """Load all but the head of `model` from `path`; the head too where it fits."""
    if not path.is_file():
        raise InputError(f"There are no weights at {path}: check init, or leave it out.")
    try:
        # weights_only refuses pickled code.
        given = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        given = {name.removeprefix("module."): t for name, t in given.items() if isinstance(t, Tensor)}
    except (SafetensorError, OSError, RuntimeError, ValueError, AttributeError, KeyError, EOFError) as error:
        raise InputError(f"{path} holds no tensors that can be read safely ({type(error).__name__}).") from None
    except Exception as error:  # pickle.UnpicklingError, by which torch refuses code
        raise InputError(f"{path} holds more than tensors: store them as safetensors.") from error
    own = model.state_dict()
    fits = {name: t for name, t in given.items() if name in own and own[name].shape == t.shape}
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    head = tuple(f"{n}." for n in ([names] if isinstance(names, str) else names))
    lacking = [n for n in own if n not in fits and not n.startswith(head) and not n.endswith("num_batches_tracked")]
    if lacking:
        raise InputError(
            f"{path} does not fit {arch}: {len(lacking)} of {len(own)} tensors are missing or of another shape, "
            f"the first is {lacking[0]}."
        )
    model.load_state_dict(fits, strict=False)


def _scale(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean and deviation the architecture was made for, (1, 3, 1, 1): the same for every condition."""
    known = getattr(model, "pretrained_cfg", {})
    mean, std = known.get("mean", (0.485, 0.456, 0.406)), known.get("std", (0.229, 0.224, 0.225))
    return torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)


@dataclass
class Classifier:
    """A network, what it tells apart, and how images are put before it."""

    model: nn.Module
    classes: list[str]
    config: ClassifierConfig
    device: torch.device

    def __post_init__(self) -> None:
        self.model = self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean, self._std = (t.to(self.device) for t in _scale(self.model))
        wants = self.config.precision
        self._bf16 = wants == "bf16" or (wants == "auto" and fast_bf16(self.device))

    def logits(self, crops: NDArray[np.uint8]) -> Tensor:
        """float32 (b, classes) of `uint8 (b, h, w, 3)`."""
        x = torch.from_numpy(np.ascontiguousarray(crops)).to(self.device).permute(0, 3, 1, 2).float().div_(255)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            out: Tensor = self.model((x - self._mean) / self._std)
        return out.float()

    def probabilities(self, images: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
        """float32 (n, classes), the mean over the views that `tta` names; `images` is uint8 (n, h, w, 3)."""
        self.model.eval()
        found = []
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                shown = views(images[start : start + batch], self.config.crop, self.config.tta)
                mean = torch.stack([self.logits(view).softmax(1) for view in shown]).mean(0)
                found.append(mean.cpu().numpy())
        return np.concatenate(found)

    def predict(self, coded: CodedSet) -> pd.DataFrame:
        """image, object, label, predicted, probability (of the label), a row an image.

        Raises
        ------
        InputError
            No images, a crop larger than they are, or a label that the training set lacks.
        """
        check(coded, self.config, self.classes)
        p = self.probabilities(coded.images)
        true = np.searchsorted(self.classes, coded.labels)
        return pd.DataFrame(
            {
                "image": coded.names,
                "object": coded.objects,
                "label": coded.labels,
                "predicted": np.array(self.classes)[p.argmax(1)],
                "probability": p[np.arange(len(p)), true],
            }
        )

    def save(self, path: Path | str) -> None:
        """Write the weights as safetensors, for `init` of another training."""
        with atomic(path) as temporary:
            save_file({k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}, temporary)


def views(images: NDArray[np.uint8], crop: int, tta: str) -> Iterator[NDArray[np.uint8]]:
    """The crops of (n, h, w, 3) that validation averages: one, eight or ten of (n, crop, crop, 3)."""
    spare_h, spare_w = images.shape[1] - crop, images.shape[2] - crop
    places = [(spare_h // 2, spare_w // 2)]
    if tta == "ten-crop":
        places += [(0, 0), (0, spare_w), (spare_h, 0), (spare_h, spare_w)]
    for top, left in places:
        view = images[:, top : top + crop, left : left + crop]
        yield view
        if tta == "ten-crop":
            yield view[:, :, ::-1]
        if tta == "flips":
            yield from (turn(view, k) for k in range(1, 8))


def turn(images: NDArray[np.uint8], symmetry: int) -> NDArray[np.uint8]:
    """One of the eight symmetries of the square, for (…, h, w, 3): overhead imagery has no up."""
    turned = np.rot90(images, symmetry % 4, axes=(-3, -2))
    return turned[..., ::-1, :] if symmetry >= 4 else turned


def check(coded: CodedSet, config: ClassifierConfig, classes: Sequence[str] | None = None) -> None:
    """Refuse a set that a network of `config`, for `classes`, cannot be shown; the message says why."""
    if len(coded) == 0:
        raise InputError(f"There are no images of {coded.condition}: check the split, or draw a synthetic set first.")
    if min(coded.images.shape[1:3]) < config.crop:
        raise InputError(
            f"crop = {config.crop} is larger than the images of {coded.condition} "
            f"({coded.images.shape[2]}×{coded.images.shape[1]}): take a smaller crop, or code larger ones."
        )
    unknown = sorted(set(coded.labels.tolist()) - set(classes)) if classes is not None else []
    if unknown:
        raise InputError(
            f"{coded.condition} is validated on classes that the training set lacks ({', '.join(unknown[:5])}): "
            "split every class over both sides, or leave those out."
        )
