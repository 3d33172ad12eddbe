"""Digests of what a result depends on. They name the files of results, so that a changed setting makes a new file."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def digest(*facts: Any, length: int = 8) -> str:
    """`length` hexadecimal digits of SHA-256, different when any of the facts differs.

    Facts are what JSON holds, arrays and bytes (by their content), and anything else by its text.

    >>> digest("jpeg", {"quality": 75, "crop": 512})
    'd012534e'
    >>> digest("jpeg", {"crop": 512, "quality": 75}) == digest("jpeg", {"quality": 75, "crop": 513})
    False
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=_plain).encode()).hexdigest()[:length]


def _plain(fact: Any) -> Any:
    if isinstance(fact, np.ndarray):
        return [fact.dtype.str, fact.shape, hashlib.sha256(np.ascontiguousarray(fact).data).hexdigest()]
    return hashlib.sha256(fact).hexdigest() if isinstance(fact, bytes) else str(fact)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; computed anew when the file's time changes."""
    return _file_digest(path, path.stat().st_mtime_ns)


@functools.cache
def _file_digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
