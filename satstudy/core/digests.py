"""Digests of the settings of a result. File names contain them, so that changed settings make a new file."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def digest(*facts: Any, length: int = 8) -> str:
    """`length` hexadecimal digits of a SHA-256 over the facts.

    Parameters
    ----------
    facts : JSON values, arrays and bytes; other objects count by their `str`

    Examples
    --------

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
    """SHA-256 of a file in hexadecimal, cached until its modification time changes."""
    return _file_digest(path, path.stat().st_mtime_ns)


@functools.cache
def _file_digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
