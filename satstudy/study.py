"""One study: a profile, its folder under `build`, and how each thing in it comes to be.

Whatever is asked for is made if it is not there: images, splits, weights, measurements. So every
notebook can be run first, and a second run does only what changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from satstudy import entropy, paths, profiles, zoo
from satstudy.codecs import AVIF, JPEG, JPEG2000, Codec, WebP
from satstudy.codecs.learned import LearnedCodec, Tiling
from satstudy.data import fmow, folders, splits, synthetic
from satstudy.data.images import Pixels, find_images, read_image
from satstudy.data.records import ImageRecord, ScanResult
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
            root = self.folder / "scenes"
            synthetic.write_tree(
                root,
                categories=synthetic.CATEGORIES[: data.categories] if data.categories else None,
                train_objects=data.train_objects,
                val_objects=data.val_objects,
                views=data.views,
                size=data.size,
                seed=self.profile.seed,
                progress=self.progress,
            )
            return root
        root = paths.ROOT / data.root
        if not root.is_dir():
            raise InputError(
                f"The profile {self.profile.name} reads images from {root}, which is not there: put or "
                "link them there. The README says where to get them."
            )
        return root

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
        path = self.folder / ("splits.csv" if level == "object" else f"splits-{level}.csv")
        if path.exists():
            return splits.read_manifest(path, self.root)
        want, seed = self.profile.splits, self.profile.seed
        if want.method == "number":
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
        return self.folder / "train" / f"{domain}-lam{lam:g}"

    def _training_images(self, domain: str) -> tuple[list[Path], list[Path]]:
        """Images to train on, and those held back to watch it."""
        count = self.profile.train.validation
        if domain == OVERHEAD:
            images = self.images("train-compress")
        else:
            if not self.profile.data.natural:
                raise InputError(f"The profile {self.profile.name} names no natural images: set data.natural.")
            images = find_images([paths.ROOT / self.profile.data.natural])
        if count >= len(images):
            raise InputError(f"{count} of {len(images)} images are held back for validation: none is left to train on.")
        held = set(np.random.default_rng(self.profile.seed).permutation(len(images))[:count].tolist())
        return (
            [image for i, image in enumerate(images) if i not in held],
            [image for i, image in enumerate(images) if i in held],
        )

    def _start(self, lam: float, domain: str) -> tuple[Checkpoint | None, str]:
        """The weights that the training of `lam` starts from, and what to call them."""
        train = self.profile.train
        if train.init == "shipped":
            shipped = zoo.shipped()
            if not shipped:
                raise InputError("No weights ship with this package: set train.init to scratch.")
            path = shipped[nearest(lam, list(shipped))]
            return zoo.load(path), path.stem
        base = self._base
        if lam != base:
            ladder = sorted({*train.lams, base})
            others = [x for x in ladder if (x > lam) == (base > lam) and x != lam] or [base]
            neighbour = nearest(lam, others)
            return self.weights(neighbour, domain), f"this study, lam={neighbour:g}"
        if train.init == "scratch":
            return None, "random"
        path = paths.ROOT / train.init
        return zoo.load(path), path.stem

    @cached_property
    def _base(self) -> float:
        """The λ whose training starts the ladder: that of the given weights, or the middle one."""
        lams = sorted(self.profile.train.lams)
        if self.profile.train.init in ("shipped", "scratch"):
            return lams[len(lams) // 2]
        return nearest(zoo.load(paths.ROOT / self.profile.train.init).lam, lams)

    def weights(self, lam: float, domain: str = OVERHEAD) -> Checkpoint:
        """The weights for λ, trained now if this study has not trained them.

        With `train.init: shipped` and no steps, those that ship for the nearest λ, which must be it.
        """
        folder = self.training_folder(lam, domain)
        finished = folder / "weights.safetensors"
        if finished.exists():
            return zoo.load(finished)
        train = self.profile.train
        if train.init == "shipped" and train.steps == 0:
            shipped = zoo.shipped(domain)
            if lam in shipped:
                return zoo.load(shipped[lam])
            raise InputError(f"No weights ship for lam = {lam:g}: take one of {', '.join(f'{x:g}' for x in shipped)}.")
        start, name = self._start(lam, domain)
        images, validation = self._training_images(domain)
        steps = train.warm_steps if train.warm_steps and start is not None and lam != self._base else train.steps
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
            N=train.N,
            M=train.M,
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
                case "original":
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
        names = []
        for checkpoint in checkpoints:
            tables = checkpoint.tables or entropy.hyper_tables(checkpoint.model)
            label = f"{checkpoint.metadata.get('domain', OVERHEAD)} lam={checkpoint.lam:g}"
            names.append(f"{label} ({zoo.fingerprint(checkpoint.model, tables).hex()})")
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
