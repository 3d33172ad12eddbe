"""The images of a study: their folder, their records and their splits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from satstudy.core import paths
from satstudy.core.digests import digest
from satstudy.core.errors import InputError
from satstudy.data import fmow, folders, splits
from satstudy.data.records import ImageRecord, ScanResult
from satstudy.data.splits import read_manifest, subset, write_manifest
from satstudy.data.synthetic.scene import CATEGORIES, GENERATOR_VERSION
from satstudy.data.synthetic.tree import write_tree
from satstudy.study.profiles import Profile


@dataclass(frozen=True)
class StudyImages:
    """The images of a profile, drawn or found.

    Attributes
    ----------
    progress : show bars with the time left
    """

    profile: Profile
    folder: Path
    progress: bool = True

    @cached_property
    def root(self) -> Path:
        """The folder of the images; synthetic scenes are drawn into it first."""
        data = self.profile.data
        if data.kind == "synthetic":
            settings = self._source
            root = self.folder / f"scenes-{self.source_key}"
            write_tree(root, **settings, progress=self.progress)
            return root
        return self.named_folder(data.root)

    def named_folder(self, name: str, or_else: str = "the README says where to get them") -> Path:
        """A folder of images that the profile names, relative to the checkout.

        Raises
        ------
        InputError
            It is not there.
        """
        root = paths.ROOT / name
        if not root.is_dir():
            raise InputError(
                f"The profile {self.profile.name} reads images from {root}, which is not there: put or link them "
                f"there, {or_else}."
            )
        return root

    @property
    def _source(self) -> dict[str, Any]:
        """The settings that decide which images there are."""
        data = self.profile.data
        if data.kind != "synthetic":
            return {"kind": data.kind, "root": data.root, "min_size": data.min_size}
        return {
            "categories": CATEGORIES[: data.categories] if data.categories else None,
            "train_objects": data.train_objects,
            "val_objects": data.val_objects,
            "views": data.views,
            "size": data.size,
            "seed": self.profile.seed,
        }

    @property
    def source_key(self) -> str:
        """A digest of the settings and of the generator of synthetic scenes."""
        return digest(self._source, GENERATOR_VERSION)

    @cached_property
    def _scans(self) -> dict[str, ScanResult]:
        """The records of each half of the data set."""
        data = self.profile.data
        least, skip, progress = data.min_size or None, data.on_error, self.progress
        if data.kind == "folders":
            return {"all": folders.scan(self.root, min_size=least, on_error=skip, progress=progress)}
        halves: tuple[Literal["train", "val"], ...] = ("train", "val")
        return {
            half: fmow.scan(self.root, split=half, min_size=least, on_error=skip, progress=progress) for half in halves
        }

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """The splits, by object: path, category, object, split (`satstudy.data.splits`)."""
        want, seed, path = self.profile.splits, self.profile.seed, self.manifest_path
        if path.exists():
            return read_manifest(path, self.root)
        if want.method == "number":
            frame = splits.by_number(self._scans["all"].records, self.root, first=want.number)
        else:
            sizes = splits.Sizes(
                train_compress=want.train_compress,
                val_compress=want.train_class + want.val_class,
                train_class=want.train_class,
                val_class=want.val_class,
            )
            halves = self._scans
            train, val = (
                (halves["all"].records, None) if "all" in halves else (halves["train"].records, halves["val"].records)
            )
            frame = splits.make(train, val, self.root, sizes, seed)
        write_manifest(path, frame)
        return frame

    @property
    def manifest_path(self) -> Path:
        """Where the splits are kept; another name when other settings would make others."""
        key = digest(self.source_key, dataclasses.asdict(self.profile.splits), self.profile.seed)
        return self.folder / f"splits-object-{key}.csv"

    def images(self, split: str) -> list[Path]:
        """The files of a split, in the order of the manifest."""
        rows = subset(self.manifest, split)
        return [self.root / name for name in rows["path"]]

    def records(self, split: str) -> list[ImageRecord]:
        """The records of a split, in the order of the manifest."""
        known = {record.path: record for scan in self._scans.values() for record in scan.records}
        return [known[self.root / name] for name in subset(self.manifest, split)["path"]]
