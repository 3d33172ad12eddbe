"""Absolute paths of the checkout, files written whole or not at all, and the commit that made a result."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
WEIGHTS = PACKAGE / "weights"
#: The checkout; the current folder where the package was installed without one.
ROOT = PACKAGE.parent if (PACKAGE.parent / "notebooks").is_dir() else Path.cwd()
NOTEBOOKS = ROOT / "notebooks"
PROFILES = ROOT / "profiles"
REFERENCE = ROOT / "results" / "reference"
#: Everything that a run makes. `SATSTUDY_BUILD` moves it, to a larger disk or into the folder of a test.
BUILD = Path(os.environ.get("SATSTUDY_BUILD", ROOT / "build")).resolve()


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to `path` when the block ends and removed when it raises.

    A reader sees the old file or the whole new one. Folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: several writers (rasterio, Pillow, NumPy) choose the format by it. The rest of the name is
    # short and plain, so that a name as long as the file system allows, or one that is not UTF-8, can be written.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=f".tmp{path.suffix[:16]}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes the file private; a result gets the permissions of any other new file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with temporary.open("r+b") as file:  # else a power cut could leave the new name with an empty file
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def commit() -> str:
    """The short commit of the checkout, with `+` where tracked files differ from it; `unknown` without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        head = git("rev-parse", "--short=10", "HEAD")
        return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
