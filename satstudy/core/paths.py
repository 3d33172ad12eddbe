"""Named absolute paths, so that nothing depends on the folder a command is run from."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
WEIGHTS = PACKAGE / "weights"


def _repository() -> Path:
    """The checkout, or the current folder where the package was installed without one."""
    candidate = PACKAGE.parent
    return candidate if (candidate / "notebooks").is_dir() else Path.cwd()


ROOT = _repository()
NOTEBOOKS = ROOT / "notebooks"
PROFILES = ROOT / "profiles"
REFERENCE = ROOT / "results" / "reference"
#: Everything made by a run; `SATSTUDY_BUILD` moves it (to a larger disk, into a test's own folder).
BUILD = Path(os.environ.get("SATSTUDY_BUILD", ROOT / "build")).resolve()


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends without an error.

    The temporary file is removed when the block raises, so that a reader never sees half a file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: several writers (rasterio, Pillow, NumPy) choose the format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=f".tmp{path.suffix}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes the file private; a result is readable as any other file of the user's.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with temporary.open("r+b") as file:  # or a power cut could leave the new name with nothing in it
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def commit() -> str:
    """The short commit of the checkout, with `+` where files differ from it; `unknown` without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        head = git("rev-parse", "--short=10", "HEAD")
        return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
