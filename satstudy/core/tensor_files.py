"""Files of named tensors and of text about them, in safetensors: no pickle, and the same bytes for the same content."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor

from satstudy.core.errors import InputError
from satstudy.core.paths import atomic


def write(path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file under a temporary name and rename it into place."""
    with atomic(path) as temporary:
        save_file(dict(tensors), temporary, metadata=dict(metadata))
        _order(temporary)


def _order(path: Path) -> None:
    """Put the metadata of a file into alphabetical order: the library writes them in a random one."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(text) <= length, "no tensor moves"
        file.seek(8)
        file.write(text.ljust(length))


def read(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the text of a file.

    Raises
    ------
    InputError
        Not there, no such file, or damaged.
    """
    with _reading(path):
        return load_file(path), metadata(path)


def metadata(path: Path | str) -> dict[str, str]:
    """The text of a file, without reading its tensors; errors as `read`."""
    with _reading(path), safetensors.safe_open(path, framework="pt") as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    """One sentence for whatever a damaged file makes safetensors raise."""
    try:
        yield
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no safetensors file, or a damaged one ({error}): fetch it again.") from None
