"""Checkpoints: weights in safetensors with what made them, and nothing in pickle.

A weights file holds the trained tensors (float32, or float16 where it is shipped) and flat text
metadata. What the entropy coder derives from them with transcendental functions is stored too
(`tables.*`, integers), so that two machines whose `exp` differs in the last bit still agree.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from satstudy.codecs.learned import wavefront
from satstudy.codecs.learned.model import Model, from_weights
from satstudy.codecs.learned.probability import hyper_tables
from satstudy.core import paths, tensor_files
from satstudy.core.errors import InputError
from satstudy.core.tensor_files import metadata

TABLES = "tables."
#: The context model, and how many of its 5×5 taps come before the position that is coded.
CONTEXT, TAPS = "context_prediction.weight", len(wavefront.CONTEXT)
#: Kinds of images that weights are trained on.
OVERHEAD, NATURAL = "overhead", "natural"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model in evaluation mode and what is known about it.

    Attributes
    ----------
    stored : the entropy coder's tables as far as they came with the weights; see `tables`
    """

    model: Model
    metadata: dict[str, str]
    stored: dict[str, Tensor]
    path: Path

    @property
    def lam(self) -> float:
        return float(self.metadata["lam"])

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def tables(self) -> dict[str, Tensor]:
        """The entropy coder's integer tables: as stored with the weights, or made from the model."""
        return self.stored or hyper_tables(self.model)

    @cached_property
    def fingerprint(self) -> bytes:
        """What a file says it was made with: eight bytes of the weights and their tables."""
        return fingerprint(self.model, self.tables)


def fingerprint(model: Model, tables: dict[str, Tensor]) -> bytes:
    """Eight bytes that differ when any weight or table does.

    Taken over float32 values, so that a float16 file and its float32 copy agree.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted({**model.weights(), **tables}.items()):
        plain = tensor.detach().cpu().contiguous()
        # Adding 0 turns −0 into 0: a masked weight is either.
        plain = plain.float() + 0.0 if plain.is_floating_point() else plain.long()
        digest.update(f"{name}{tuple(plain.shape)}".encode())
        digest.update(plain.numpy().tobytes())
    return digest.digest()[:8]


def save(
    path: Path | str,
    model: Model,
    metadata: dict[str, str],
    tables: dict[str, Tensor] | None = None,
    half: bool = False,
) -> None:
    """Write weights under a temporary name and rename them into place.

    Parameters
    ----------
    metadata : text by text; `N`, `M` and `lam` are required
    half : store float16, half the size, and of the context model only the taps that its mask lets through; what
        rounding costs is in the model card
    """
    missing = {"N", "M", "lam"} - set(metadata)
    if missing:
        raise InputError(f"Weights need {', '.join(sorted(missing))} in their metadata.")
    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if half else torch.float32).contiguous()
        for name, tensor in model.weights().items()
    }
    if half:
        tensors[CONTEXT] = tensors[CONTEXT].flatten(2)[:, :, :TAPS].contiguous()
    tensors |= {TABLES + name: tensor.cpu().contiguous() for name, tensor in (tables or {}).items()}
    tensor_files.write(path, tensors, metadata)


def load(path: Path | str) -> Checkpoint:
    """Read weights, written by `save` or any `mbt2018` state in safetensors with `lam` in its metadata.

    Raises
    ------
    InputError
        No such file, damaged, another architecture, or no `lam`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There are no weights at {path}: `satstudy weights` lists those that ship.")
    tensors, text = tensor_files.read(path)
    if "lam" not in text:
        raise InputError(f"{path} does not say which lam it was trained for: add `lam` to its metadata.")
    try:
        float(text["lam"])
    except ValueError:
        raise InputError(f"{path} has lam = {text['lam']!r}, which is no number: correct its metadata.") from None
    if (taps := tensors.get(CONTEXT)) is not None and taps.dim() == 3 and taps.shape[2] == TAPS:
        tensors[CONTEXT] = torch.nn.functional.pad(taps, (0, 25 - TAPS)).unflatten(2, (5, 5))
    tables = {name.removeprefix(TABLES): tensors.pop(name) for name in list(tensors) if name.startswith(TABLES)}
    model = from_weights(tensors)
    return Checkpoint(model, {**text, "N": str(model.N), "M": str(model.M)}, tables, path)


def domains() -> list[str]:
    """The kinds of images that shipped weights were trained on."""
    return sorted({metadata(path).get("domain", OVERHEAD) for path in paths.WEIGHTS.glob("*.safetensors")})


def shipped(domain: str = OVERHEAD) -> dict[float, Path]:
    """λ → path of the weights in the package that were trained on `domain`, rising in λ."""
    found = {}
    for path in paths.WEIGHTS.glob("*.safetensors"):
        text = metadata(path)
        if text.get("domain", OVERHEAD) == domain:
            found[float(text["lam"])] = path
    return dict(sorted(found.items()))


def nearest(lam: float, candidates: Sequence[float]) -> float:
    """The candidate whose ratio to `lam` is closest to one."""
    return min(candidates, key=lambda other: (abs(math.log(other / lam)), other))
