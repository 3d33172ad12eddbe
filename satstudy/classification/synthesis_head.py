"""A second synthesis transform for the same files, trained for a classifier instead of for the squared error.

A copy of `g_s` is trained so that a frozen network has the same features for the decoded image as for the original.
Encoder, entropy coder and files do not change: one file can be decoded for fidelity or for the task.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from satstudy.classification.network import Network
from satstudy.codecs.learned.checkpoint import Checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.codecs.mbt2018.engine import Mbt2018Engine
from satstudy.codecs.mbt2018.model import LATENT_STRIDE, Model
from satstudy.core import tensor_files
from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.geometry import Tiling
from satstudy.core.hardware import settled_for_training
from satstudy.core.types import Pixels

#: Passes to find the decoder's latents (`Model.decoded`), as in the training of the shipped weights.
CONTEXT_PASSES = 6


@dataclass(frozen=True)
class HeadConfig:
    """Settings of the training of a synthesis head.

    Attributes
    ----------
    steps, batch : gradient steps (0: no head is trained), and crops per step
    crop : side of a crop in pixels, a multiple of 16
    lr : initial learning rate of Adam, which falls to zero by a cosine
    fidelity : weight in the loss of the squared error, relative to that of `g_s`
    seed : of the crops
    """

    steps: int = 0
    batch: int = 4
    crop: int = 192
    lr: float = 3e-4
    fidelity: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch < 1 or self.crop < 32 or self.crop % LATENT_STRIDE:
            raise InputError("A synthesis head takes steps ≥ 0, batch ≥ 1 and a crop of 32 or more, a multiple of 16.")


class TaskCodec(LearnedCodec):
    """`LearnedCodec` with another synthesis transform for decoding; its files are those of `LearnedCodec`.

    Parameters
    ----------
    checkpoint : weights of the codec
    head : from `train_head` or `load_head`
    """

    def __init__(self, checkpoint: Checkpoint, head: dict[str, Tensor], tiling: Tiling = "seamless"):
        super().__init__(checkpoint, tiling)
        model = copy.deepcopy(checkpoint.paper_model)
        model.g_s.load_state_dict(head)
        self.head = head
        self.engine = Mbt2018Engine(model, checkpoint.tables, checkpoint.lam)

    def __reduce__(self) -> Any:
        return TaskCodec, (self.checkpoint, self.head, self.tiling)

    @property
    def name(self) -> str:
        return f"{super().name}-task"


def feature_distance(network: Network, decoded: Tensor, original: Tensor) -> Tensor:
    """Distance of the network's features of two batches (b, 3, h, w) in [0, 1].

    The squared distance relative to the squared norm of the original's features, averaged over the stages.
    """
    mean, std = network.scale
    with torch.no_grad():
        wanted = _stages(network, (original - mean) / std)
    found = _stages(network, (decoded - mean) / std)
    parts = [(a - b).square().mean() / b.square().mean() for a, b in zip(found, wanted, strict=True)]
    return torch.stack(parts).mean()


def _stages(network: Network, x: Tensor) -> list[Tensor]:
    """Feature maps after each stage of the network."""
    return network.model.forward_intermediates(x, intermediates_only=True)  # type: ignore[operator,no-any-return]


@torch.no_grad()
def _latents(model: Model, images: Tensor) -> Tensor:
    """The decoder's latents of images (b, 3, h, w) in [0, 1]: float32 (b, M, h/16, w/16)."""
    y = model.g_a(images)
    z_hat, _ = model.entropy_bottleneck(model.h_a(y))
    return model.decoded(y, model.h_s(z_hat), CONTEXT_PASSES)


@settled_for_training()
def train_head(
    checkpoint: Checkpoint,
    network: Network,
    images: Sequence[Pixels],
    config: HeadConfig,
    path: Path | str,
    *,
    progress: bool = True,
) -> dict[str, Tensor]:
    """Train a copy of `g_s` for the features of a frozen network, and write it to `path`.

    Parameters
    ----------
    checkpoint : weights that give the latents; they are not changed
    network : frozen network that gives the features
    images : training images uint8 (height, width, 3), with sides of `config.crop` or more

    Returns
    -------
    dict
        The trained tensors of `g_s`.

    Raises
    ------
    InputError
        An image smaller than the crop.
    SatstudyError
        The loss is not finite.
    """
    if min(min(image.shape[:2]) for image in images) < config.crop:
        raise InputError(f"An image is smaller than the crop of {config.crop}: take a smaller crop.")
    model = copy.deepcopy(checkpoint.paper_model).eval().requires_grad_(False)
    model.g_s.requires_grad_(True)
    network.model.eval().requires_grad_(False)
    optimizer = torch.optim.Adam(model.g_s.parameters(), config.lr)
    rng = np.random.default_rng(config.seed)
    # Both terms of the loss start at about 1: they are relative to the features, and to the error of `g_s`.
    error = float("nan")
    with tqdm(range(config.steps), "synthesis head", unit="step", disable=not progress) as bar:
        for step in bar:
            for group in optimizer.param_groups:
                group["lr"] = config.lr * (1 + np.cos(np.pi * step / config.steps)) / 2
            x = _crops(images, config, rng)
            decoded = model.g_s(_latents(model, x))
            squared = (decoded - x).square().mean()
            error = squared.item() if np.isnan(error) else 0.99 * error + 0.01 * squared.item()
            features = feature_distance(network, decoded, x)
            loss = features + config.fidelity * squared / error
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if not torch.isfinite(loss):
                raise SatstudyError(f"The loss of the synthesis head is {loss.item()}: lower lr.")
            bar.set_postfix_str(f"features {features.item():.3f}, PSNR {-10 * torch.log10(squared).item():.2f} dB")
    head = {name: tensor.detach().clone() for name, tensor in model.g_s.state_dict().items()}
    metadata = {"weights": checkpoint.fingerprint.hex(), "lam": f"{checkpoint.lam:g}", "network": network.config.arch}
    metadata |= {name: str(value) for name, value in asdict(config).items()}
    tensor_files.write(path, head, metadata)
    return head


def load_head(checkpoint: Checkpoint, path: Path | str) -> dict[str, Tensor]:
    """Read a head that `train_head` wrote.

    Raises
    ------
    InputError
        No such file, or a head for other weights.
    """
    head, metadata = tensor_files.read(path)
    if metadata.get("weights") != checkpoint.fingerprint.hex():
        raise InputError(f"The synthesis head in {path} is for other weights than {checkpoint.name}: train it again.")
    return head


def _crops(images: Sequence[Pixels], config: HeadConfig, rng: np.random.Generator) -> Tensor:
    """float32 (batch, 3, crop, crop) in [0, 1]."""
    found = []
    for i in rng.integers(len(images), size=config.batch):
        height, width = images[i].shape[:2]
        top, left = rng.integers(height - config.crop + 1), rng.integers(width - config.crop + 1)
        found.append(images[i][top : top + config.crop, left : left + config.crop])
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 255
