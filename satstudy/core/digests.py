"""Short names for what decides a result, so that a thing on disk is made anew when that changes."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any


def digest(*facts: Any) -> str:
    """Eight hexadecimal digits that differ when any of the facts does."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:8]


def content(start: Path | str | None) -> str:
    """What a training starts from, as text: a file by its bytes, wherever it lies."""
    return _file_digest(start, start.stat().st_mtime_ns) if isinstance(start, Path) else start or "random"


@functools.cache
def _file_digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
