"""Checkpoints: weights in safetensors with what made them, and nothing in pickle.

A weights file holds the trained tensors (float32, or float16 where it is shipped) and flat text
metadata. What the entropy coder derives from them with transcendental functions is stored too
(`tables.*`, integers), so that two machines whose `exp` differs in the last bit still agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from satstudy import paths, wavefront
from satstudy.errors import InputError
from satstudy.model import Model, from_weights
from satstudy.paths import atomic
from satstudy.probability import hyper_tables

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
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


@contextlib.contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    """One sentence for whatever a damaged file makes safetensors raise."""
    try:
        yield
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no safetensors file, or a damaged one ({error}): fetch it again.") from None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise InputError(f"There are no weights at {path}: `satstudy weights` lists those that ship.")
    with _reading(path):
        return load_file(path), metadata(path)


def load(path: Path | str) -> Checkpoint:
    """Read weights, written by `save` or any `mbt2018` state in safetensors with `lam` in its metadata.

    Raises
    ------
    InputError
        No such file, damaged, another architecture, or no `lam`.
    """
    path = Path(path)
    tensors, metadata = _read(path)
    if "lam" not in metadata:
        raise InputError(f"{path} does not say which lam it was trained for: add `lam` to its metadata.")
    try:
        float(metadata["lam"])
    except ValueError:
        raise InputError(f"{path} has lam = {metadata['lam']!r}, which is no number: correct its metadata.") from None
    if (taps := tensors.get(CONTEXT)) is not None and taps.dim() == 3 and taps.shape[2] == TAPS:
        tensors[CONTEXT] = torch.nn.functional.pad(taps, (0, 25 - TAPS)).unflatten(2, (5, 5))
    tables = {name.removeprefix(TABLES): tensors.pop(name) for name in list(tensors) if name.startswith(TABLES)}
    model = from_weights(tensors)
    return Checkpoint(model, {**metadata, "N": str(model.N), "M": str(model.M)}, tables, path)


def metadata(path: Path | str) -> dict[str, str]:
    """The text stored with the weights at `path`, without reading them."""
    with _reading(path), safetensors.safe_open(path, framework="pt") as file:
        return file.metadata() or {}


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


# --- Training state: any nest of dicts, lists, numbers and tensors, as one safetensors file -------------


def _dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether these strides place the elements one beside the other, in whatever order of dimensions."""
    if len(shape) != len(stride):
        return False
    if 0 in shape:
        return all(step >= 0 for step in stride)
    expected = 1
    for step, size in sorted((step, size) for step, size in zip(stride, shape, strict=True) if size > 1):
        if step != expected:
            return False
        expected *= size
    # The strides of dimensions of one element move nothing, but are kept: some kernels look at them.
    return all(step >= 0 for step in stride)


def save_state(path: Path | str, state: Any) -> None:
    """Write a nest of dicts, lists, tensors and plain values; dict keys may be text or integers."""
    tensors: dict[str, Tensor] = {}

    def flatten(value: Any) -> Any:
        if isinstance(value, Tensor):
            # Strides are part of the state: SOAP's bases lie in columns and convolutions in channels-last,
            # and a product over another layout differs in its last bit.
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().contiguous().clone()
            dense = value if _dense(value.shape, value.stride()) else tensors[name]
            return {"tensor": name, "stride": list(dense.stride())}
        if isinstance(value, dict):
            return {"dict": [[key, flatten(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return {"list": [flatten(item) for item in value]}
        return {"value": value}

    tree = flatten(state)
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"tree": json.dumps(tree)})


def load_state(path: Path | str) -> Any:
    """What `save_state` wrote.

    Raises
    ------
    InputError
        Damaged, or not written by `save_state`.
    """
    tensors, text = _read(Path(path))

    def build(node: dict[str, Any]) -> Any:
        if "tensor" in node:
            tensor = tensors[node["tensor"]]
            stride = node["stride"]
            if not _dense(tensor.shape, stride):
                raise ValueError(f"strides {stride} for {tuple(tensor.shape)}")
            return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
        if "dict" in node:
            return {key: build(item) for key, item in node["dict"]}
        if "list" in node:
            return [build(item) for item in node["list"]]
        return node["value"]

    try:
        return build(json.loads(text["tree"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no training state ({error}): remove it to start afresh.") from None
