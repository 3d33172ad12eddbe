"""Named tensors with text metadata as safetensors files: no pickle, and equal contents give equal bytes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from satstudy.core.errors import InputError
from satstudy.core.paths import atomic


def write(path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file whole or not at all."""
    with atomic(path) as temporary:
        save_file(dict(tensors), temporary, metadata=dict(metadata))
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Sort the metadata of a file by name, since the library writes them in random order."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(text) <= length, "tensors stay where they are"
        file.seek(8)
        file.write(text.ljust(length))


def read(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file.

    Raises
    ------
    InputError
        No file, no safetensors file, or a damaged one.
    """
    with _reading(path):
        return load_file(path), metadata(path)


def metadata(path: Path | str) -> dict[str, str]:
    """The metadata of a file without reading its tensors; errors as `read`."""
    with _reading(path), safetensors.safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def require_finite(weights: Mapping[str, Tensor]) -> None:
    """Raise InputError if the weights of a model have a value that is not finite."""
    bad = next((name for name, tensor in weights.items() if not torch.isfinite(tensor.float()).all()), None)
    if bad is not None:
        raise InputError(f"These weights hold values that are not finite, in {bad}: train or fetch them again.")


@contextlib.contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    """Turn the errors of safetensors into one InputError."""
    try:
        yield
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no safetensors file, or a damaged one ({error}): fetch it again.") from None
