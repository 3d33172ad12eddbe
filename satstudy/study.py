"""One study: a profile, its folder under `build`, and how each thing in it comes to be.

Whatever is asked for is made if it is not there: images, splits, weights, measurements. So every
notebook can be run first, and a second run does only what changed: the name of a thing on disk ends with a
digest of the settings that made it, so that with another setting it is made anew.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from satstudy import paths, profiles, zoo
from satstudy.codecs import AVIF, JPEG, JPEG2000, Codec, WebP
from satstudy.codecs.learned import LearnedCodec, Tiling
from satstudy.data import fmow, folders, splits, synthetic
from satstudy.data.images import Pixels, find_images, read_image
from satstudy.data.records import ImageRecord, ScanResult
from satstudy.data.synthetic.scene import GENERATOR_VERSION
from satstudy.errors import InputError
from satstudy.profiles import Profile
from satstudy.training import Trainer, TrainingConfig
from satstudy.zoo import Checkpoint

OVERHEAD, NATURAL = "overhead", "natural"


@dataclass(frozen=True)
class Study:
    """A profile at work; see `open_study`."""

    profile: Profile
    folder: Path
    progress: bool = True

    # --- Images and splits ------------------------------------------------------------------------------

    @cached_property
    def root(self) -> Path:
        """The folder of the images; synthetic scenes are drawn into it first."""
        data = self.profile.data
        if data.kind == "synthetic":
            settings = self._source
            root = self.folder / f"scenes-{self.source_key}"
            synthetic.write_tree(root, **settings, progress=self.progress)
            return root
        root = paths.ROOT / data.root
        if not root.is_dir():
            raise InputError(
                f"The profile {self.profile.name} reads images from {root}, which is not there: put or "
                "link them there. The README says where to get them."
            )
        return root

    @property
    def _source(self) -> dict[str, Any]:
        """What decides which images there are."""
        data = self.profile.data
        if data.kind != "synthetic":
            return {"kind": data.kind, "root": data.root, "min_size": data.min_size}
        return {
            "categories": synthetic.CATEGORIES[: data.categories] if data.categories else None,
            "train_objects": data.train_objects,
            "val_objects": data.val_objects,
            "views": data.views,
            "size": data.size,
            "seed": self.profile.seed,
        }

    @property
    def source_key(self) -> str:
        """Differs when other images, or images drawn otherwise, bear the same names."""
        return digest(self._source, GENERATOR_VERSION)

    @cached_property
    def _scans(self) -> dict[str, ScanResult]:
        """What is there, for each half of the data set."""
        data = self.profile.data
        if data.kind == "folders":
            return {"all": folders.scan(self.root, min_size=data.min_size or None, on_error=data.on_error)}
        return {
            half: fmow.scan(self.root, split=half, min_size=data.min_size or None, on_error=data.on_error)
            for half in ("train", "val")
        }

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """The splits of this study: path, category, object, split."""
        return self._manifest("object")

    def _manifest(self, level: str) -> pd.DataFrame:
        want, seed = self.profile.splits, self.profile.seed
        path = self.folder / f"splits-{level}-{digest(self.source_key, dataclasses.asdict(want), seed)}.csv"
        if path.exists():
            return splits.read_manifest(path, self.root)
        if want.method == "number":
            if level == "image":
                raise InputError(
                    f"The profile {self.profile.name} splits by number, which has no variant that tears objects "
                    "apart: set accuracy.leakage to false, or splits.method to objects."
                )
            frame = splits.by_number(self._scans["all"].records, self.root, train=range(want.number))
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
            frame = splits.make(train, val, self.root, sizes, seed, "image" if level == "image" else "object")
        splits.write_manifest(path, frame)
        return frame

    def images(self, split: str) -> list[Path]:
        """The files of a split, in the order of the manifest."""
        rows = splits.subset(self.manifest, split)
        return [self.root / name for name in rows["path"]]

    def records(self, split: str, level: str = "object") -> list[ImageRecord]:
        """What the data set says about the images of a split."""
        known = {record.path: record for scan in self._scans.values() for record in scan.records}
        rows = splits.subset(self.manifest if level == "object" else self._manifest(level), split)
        return [known[self.root / name] for name in rows["path"]]

    # --- Weights ----------------------------------------------------------------------------------------

    def training_folder(self, lam: float, domain: str = OVERHEAD) -> Path:
        """Where the training of one λ keeps its metrics and weights."""
        return self.folder / "train" / f"{domain}-lam{lam:g}-{self._training_key(lam, domain)}"

    def _training_key(self, lam: float, domain: str) -> str:
        """Differs when the weights would: by a setting, an image, or what the training starts from."""
        train = dataclasses.asdict(self.profile.train)
        # The ladder counts by the neighbour alone, and how often the training is watched not at all.
        for name in ("lams", "init", "steps", "warm_steps", "validate_every"):
            del train[name]
        neighbour = self.neighbour(lam)
        start = self._given(lam) if neighbour is None else self._training_key(neighbour, domain)
        images = [[path.as_posix() for path in part] for part in self._training_images(domain, relative=True)]
        source = self.source_key if domain == OVERHEAD else self.profile.data.natural
        return digest(lam, domain, self._steps(lam), self.profile.seed, train, _content(start), source, images)

    def _training_images(self, domain: str, relative: bool = False) -> tuple[list[Path], list[Path]]:
        """Images to train on, and those held back to watch it; by their names in the data set if `relative`."""
        count = self.profile.train.validation
        if domain == OVERHEAD:
            root, images = self.root, self.images("train-compress")
        elif domain == NATURAL:
            if not self.profile.data.natural:
                raise InputError(f"The profile {self.profile.name} names no natural images: set data.natural.")
            root = paths.ROOT / self.profile.data.natural
            images = find_images([root])
        else:
            raise InputError(f"{domain!r} is no domain: take {OVERHEAD} or {NATURAL}.")
        if relative:
            images = [path.relative_to(root) for path in images]
        if count >= len(images):
            raise InputError(f"{count} of {len(images)} images are held back for validation: none is left to train on.")
        held = set(np.random.default_rng(self.profile.seed).permutation(len(images))[:count].tolist())
        return (
            [image for i, image in enumerate(images) if i not in held],
            [image for i, image in enumerate(images) if i in held],
        )

    def _given(self, lam: float) -> Path | None:
        """The weights from outside this study that a training starts from; None for random ones."""
        init = self.profile.train.init
        if init == "scratch":
            return None
        if init == "shipped":
            shipped = zoo.shipped()
            if not shipped:
                raise InputError("No weights ship with this package: set train.init to scratch.")
            return shipped[nearest(lam, list(shipped))]
        path = paths.ROOT / init
        if not path.is_file():
            raise InputError(
                f"The profile {self.profile.name} starts from {path}, which is not there: put the weights there, or "
                "set train.init to shipped or scratch."
            )
        return path

    @cached_property
    def _base(self) -> float:
        """The λ whose training starts the ladder: that of the given weights, or the middle one."""
        lams = sorted(self.profile.train.lams)
        if self.profile.train.init in ("shipped", "scratch"):
            return lams[len(lams) // 2]
        given = self._given(lams[0])
        assert given is not None
        return nearest(zoo.load(given).lam, lams)

    def neighbour(self, lam: float) -> float | None:
        """The λ of this study whose weights `lam` starts from; None where it starts from others."""
        if self.profile.train.init == "shipped" or lam == self._base:
            return None
        base = self._base
        ladder = sorted({*self.profile.train.lams, base})
        return nearest(lam, [x for x in ladder if (x > lam) == (base > lam) and x != lam] or [base])

    def _start(self, lam: float, domain: str) -> tuple[Checkpoint | None, str]:
        """The weights that the training of `lam` starts from, and what to call them."""
        neighbour = self.neighbour(lam)
        if neighbour is not None:
            return self.weights(neighbour, domain), f"this study, lam={neighbour:g}"
        path = self._given(lam)
        if path is None:
            return None, "random"
        checkpoint, train = zoo.load(path), self.profile.train
        if (train.N or checkpoint.model.N, train.M or checkpoint.model.M) != (checkpoint.model.N, checkpoint.model.M):
            raise InputError(
                f"The profile {self.profile.name} asks for N = {train.N}, M = {train.M} and starts from {path.name} "
                f"with N = {checkpoint.model.N}, M = {checkpoint.model.M}: leave N and M out, or start from scratch."
            )
        return checkpoint, path.stem

    def _steps(self, lam: float) -> int:
        train = self.profile.train
        return train.warm_steps if train.warm_steps and self.neighbour(lam) is not None else train.steps

    def weights(self, lam: float, domain: str = OVERHEAD) -> Checkpoint:
        """The weights for λ, trained now if this study has not trained them.

        With `train.init: shipped` and no steps, those that ship for λ.
        """
        if not 0 < lam < 10:
            raise InputError(f"lam = {lam:g} is no trade-off of this loss: take it between 0 and 10 (paper: ~0.01).")
        train, steps = self.profile.train, self._steps(lam)
        if train.init == "shipped" and train.steps == 0:
            shipped = zoo.shipped(domain)
            if lam in shipped:
                return zoo.load(shipped[lam])
            known = f"take one of {', '.join(f'{x:g}' for x in shipped)}" if shipped else "set train.steps"
            raise InputError(f"No weights of the domain {domain} ship for lam = {lam:g}: {known}.")
        folder = self.training_folder(lam, domain)
        finished = folder / "weights.safetensors"
        if finished.exists():
            return zoo.load(finished)
        start, name = self._start(lam, domain)
        images, validation = self._training_images(domain)
        config = TrainingConfig(
            lam=lam,
            steps=steps,
            batch=train.batch,
            crop=train.crop,
            lr=train.lr,
            optimizer=train.optimizer,
            precision=train.precision,
            seed=self.profile.seed,
            warmup=min(100, max(1, steps // 10)),
            validate_every=train.validate_every,
            save_every=train.validate_every,
            log_every=max(1, min(20, steps // 50)),
        )
        trainer = Trainer(
            config,
            images,
            validation,
            folder,
            init=start.model if start else None,
            N=train.N or 64,
            M=train.M or 96,
            metadata={
                "profile": self.profile.name,
                "domain": domain,
                "data": f"{self.profile.data.label}: train-compress" if domain == OVERHEAD else "natural photographs",
                "images": str(len(images)),
                "start": name,
                "synthetic": str(self.profile.synthetic).lower(),
            },
            progress=self.progress,
        )
        trainer.run()
        return zoo.load(finished)

    def ladder(self) -> list[float]:
        """The λ of the profile in the order they are trained: each after the one it starts from."""
        lams = self.profile.train.lams
        if self.profile.train.init == "shipped":
            return sorted(lams)
        base = self._base
        return sorted(lams, key=lambda lam: (abs(math.log(lam / base)), lam))

    def learned(self, lam: float, domain: str = OVERHEAD, tiling: Tiling | None = None) -> LearnedCodec:
        """The codec of one λ; the profile says how images are cut unless `tiling` does."""
        return LearnedCodec(self.weights(lam, domain), tiling or self.profile.rd.tiling)

    # --- What is coded ----------------------------------------------------------------------------------

    def rd_images(self) -> list[tuple[str, Path | Pixels, str]]:
        """(name, image, category) of the images that rate and distortion are measured on."""
        rd = self.profile.rd
        rows = splits.subset(self.manifest, "val-compress")
        if rd.images and rd.images < len(rows):
            rows = spread(rows, rd.images, self.profile.seed)
        chosen: list[tuple[str, Path | Pixels, str]] = []
        for name, category in zip(rows["path"], rows["category"], strict=True):
            image: Path | Pixels = self.root / name
            if rd.crop:
                image = centre(read_image(self.root / name), rd.crop)
            chosen.append((name, image, category))
        return chosen

    def classical(self) -> list[Codec]:
        """The classical codecs at the profile's settings."""
        rd = self.profile.rd
        return [
            *(JPEG(q) for q in rd.jpeg),
            *(JPEG2000(bpp=rate) for rate in rd.jpeg2000),
            *(WebP(q) for q in rd.webp),
            *(AVIF(q) for q in rd.avif),
        ]

    def condition_codec(self, name: str) -> Codec | None:
        """The codec of a condition such as `jpeg 75` or `learned 0.013`; None for `original`.

        Raises
        ------
        InputError
            No such codec.
        """
        kind, _, value = name.partition(" ")
        try:
            match kind:
                case "original" if not value:
                    return None
                case "jpeg":
                    return JPEG(int(value))
                case "jpeg2000":
                    return JPEG2000(bpp=float(value))
                case "webp":
                    return WebP(int(value))
                case "avif":
                    return AVIF(int(value))
                case "learned":
                    return self.learned(float(value))
                case "learned-natural":
                    return self.learned(float(value), NATURAL)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
        raise InputError(
            f"{name!r} is no condition: write original, jpeg 75, jpeg2000 0.4, webp 50, avif 50, learned 0.013 "
            "or learned-natural 0.013."
        )

    # --- Results ----------------------------------------------------------------------------------------

    @property
    def results(self) -> Path:
        """Where the tables of this study go: tracked for the reference study, under `build` otherwise."""
        return paths.REFERENCE if self.profile.name == "reference" else self.folder / "results"

    def provenance(self, checkpoints: Sequence[Checkpoint] = ()) -> dict[str, str]:
        """What made a page: profile, commit, weights with their fingerprints, data."""
        names = [
            f"{checkpoint.metadata.get('domain', OVERHEAD)} lam={checkpoint.lam:g} ({checkpoint.fingerprint.hex()})"
            for checkpoint in checkpoints
        ]
        return {
            "profile": self.profile.name,
            "commit": paths.commit(),
            "weights": ", ".join(names) or "none",
            "data": self.profile.data.label or self.profile.data.kind,
            "synthetic": str(self.profile.synthetic).lower(),
        }


def open_study(profile: str | Profile, progress: bool = True) -> Study:
    """The study of a profile, by name or by the path of its YAML file."""
    loaded = profiles.load(profile) if isinstance(profile, str) else profile
    return Study(loaded, paths.BUILD / loaded.name, progress)


def digest(*facts: Any) -> str:
    """Eight hexadecimal digits that differ when any of the facts does."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _content(start: Path | str | None) -> str:
    """What a training starts from, as text: a file by its bytes, wherever it lies."""
    return _file_digest(start, start.stat().st_mtime_ns) if isinstance(start, Path) else start or "random"


@functools.cache
def _file_digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def nearest(lam: float, candidates: Sequence[float]) -> float:
    """The candidate whose ratio to `lam` is closest to one."""
    return min(candidates, key=lambda other: (abs(math.log(other / lam)), other))


def centre(image: Pixels, side: int) -> Pixels:
    """The central square of `side` pixels, or what there is of it."""
    height, width = image.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def spread(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """`count` rows, as even over the categories as they allow, one of each object first; in the given order."""
    shuffled = rows.sample(frac=1, random_state=seed)
    turn = shuffled.groupby(["category", "object"]).cumcount()
    ordered = shuffled.assign(turn=turn).sort_values("turn", kind="stable")
    rank = ordered.groupby("category").cumcount()
    chosen = ordered.assign(rank=rank).sort_values("rank", kind="stable").index[:count]
    return rows.loc[sorted(chosen)].reset_index(drop=True)
