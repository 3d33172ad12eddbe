"""Paths of the checkout, atomic writes, and the commit of the checkout."""

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
#: Everything that a run makes. The environment variable `SATSTUDY_BUILD` sets another folder.
BUILD = Path(os.environ.get("SATSTUDY_BUILD", ROOT / "build")).resolve()


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """A temporary file beside `path`, renamed to `path` at the end of the block, and removed if it raises.

    A reader sees the old file or the complete new one. Missing folders are created.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "new" / "table.csv"
    >>> with atomic(path) as temporary:
    ...     _ = temporary.write_text("a,b")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('a,b', 1)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays, since rasterio, Pillow and NumPy choose the format by it. The rest of the name is short and
    # ASCII, so that `path` may be as long as the file system allows, and need not be UTF-8.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=f".tmp{path.suffix[:16]}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes a private file; give it the permissions of any new file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with temporary.open("r+b") as file:  # after a power cut the new name could have an empty file
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def commit() -> str:
    """The short commit of the checkout, with `+` where tracked files differ from it; `unknown` without git.

    Kept results may differ: they are what a run at this commit writes.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        head = git("rev-parse", "--short=10", "HEAD")
        return head + ("+" if git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
