"""A split as a table: its columns, its checks, its file.

One row an image: `path` (POSIX, relative to the data's root), `category`, `object`, `split`. A row's split is the
narrowest that holds the image, so that each image stands in the table once:

- `train-compress`
- `train-class`, `val-class`: in val-compress as well
- `val-compress`: in val-compress alone, and in neither class set (the paper has none of these)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.data.records import ImageRecord

COLUMNS = ("path", "category", "object", "split")
SPLITS = ("train-compress", "val-compress", "train-class", "val-class")


def build(rows: Iterable[tuple[ImageRecord, str]], root: Path | str) -> pd.DataFrame:
    try:
        table = [(r.path.relative_to(root).as_posix(), r.category, r.object, name) for r, name in rows]
    except ValueError as error:
        raise InputError(
            f"An image lies outside the data's root ({error}): name the folder that was scanned."
        ) from None
    table.sort(key=lambda row: (SPLITS.index(row[3]), row[0]))
    manifest = pd.DataFrame(table, columns=list(COLUMNS))
    _validate(manifest, "The manifest")
    return manifest


def subset(manifest: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one of the four sets; val-compress includes train-class and val-class."""
    if name not in SPLITS:
        raise InputError(f"{name!r} is no split: take one of {', '.join(SPLITS)}.")
    names = SPLITS[1:] if name == "val-compress" else (name,)
    return manifest[manifest["split"].isin(names)].reset_index(drop=True)


def leakage(manifest: pd.DataFrame) -> int:
    """How many images of val-class show an object that train-class shows too; 0 for a split by object."""
    known = set(subset(manifest, "train-class")["object"])
    return int(subset(manifest, "val-class")["object"].isin(known).sum())


def write_manifest(path: Path | str, manifest: pd.DataFrame) -> None:
    """Write a manifest as CSV, after the checks that `read_manifest` makes."""
    _validate(manifest, "The manifest")
    with atomic(path) as temporary:
        manifest.to_csv(temporary, columns=list(COLUMNS), index=False, lineterminator="\n")


def read_manifest(path: Path | str, root: Path | str | None = None) -> pd.DataFrame:
    """Read a manifest; with `root`, see that every image is there.

    Raises
    ------
    InputError
        No readable CSV, other columns, an unknown split, an image twice, a path that leaves the root, or
        images missing under `root`.
    """
    path = Path(path)
    try:
        # A category may be called "NA": nothing is read as missing.
        manifest = pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"There is no manifest {path}: make one first.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no readable CSV ({error}): make the manifest again.") from None
    _validate(manifest, str(path))
    if root is not None:
        missing = [name for name in manifest["path"] if not Path(root, name).is_file()]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(manifest)} images of {path} are not in {root} ({missing[0]}, …): "
                "fetch them, or make the manifest again."
            )
    return manifest


def _validate(manifest: pd.DataFrame, what: str) -> None:
    if list(manifest.columns) != list(COLUMNS):
        raise InputError(
            f"{what} has the columns {', '.join(map(str, manifest.columns))} instead of {', '.join(COLUMNS)}: "
            "make it again."
        )
    unknown = sorted(set(manifest["split"]) - set(SPLITS))
    if unknown:
        raise InputError(f"{what} has an unknown split {unknown[0]!r}: take one of {', '.join(SPLITS)}.")
    twice = manifest["path"][manifest["path"].duplicated()]
    if len(twice):
        raise InputError(f"{what} has {twice.iloc[0]} {1 + (twice == twice.iloc[0]).sum()} times: keep one row of it.")
    for name in manifest["path"]:
        pure = PurePosixPath(name)
        plain = pure.name and not pure.is_absolute() and ".." not in pure.parts and str(pure) == name
        if not plain or re.search(r"[\\\0\r\n]|^[A-Za-z]:", name):
            raise InputError(f"{what} has {name!r}, which is no plain path below the data's root: make it one.")
