"""The claim of the paper's Table 1: a codec that was trained on overhead imagery codes it better than another one.

Small wavelet codecs are trained from random weights, several seeds a side, with as many pixels, the same crops and the
same changes of colour: on overhead imagery, on natural photographs, on both, and on one after the other. All are
measured on both kinds of images, by the bytes of real files. Photographs are shrunk first, until the blocks of their
JPEG files are gone, and a fifth of them is measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.checkpoint import NATURAL, OVERHEAD, Checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core import paths
from satstudy.core.digests import digest
from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.data.images import find_images, read_image
from satstudy.data.mosaics import shrunk
from satstudy.data.sensors import in_the_fifth
from satstudy.data.splits import subset
from satstudy.metrics import bd_rate
from satstudy.metrics.bootstrap import Interval, change_interval
from satstudy.study import rate_distortion
from satstudy.study.program import write_tables
from satstudy.study.study import Study, spread
from satstudy.training.loop import Trainer

#: What the codecs are trained on; "a, b" is first a, then b.
BOTH, ADAPTED, TURNED = "both", f"{NATURAL}, {OVERHEAD}", f"{OVERHEAD}, {NATURAL}"
TRAININGS = (OVERHEAD, NATURAL, BOTH, ADAPTED, TURNED)

Named = tuple[str, Pixels, str]


@dataclasses.dataclass(frozen=True)
class DomainExperiment:
    """The trainings and measurements that `profile.domain` asks for, each made when it is asked for.

    Parameters
    ----------
    study : its overhead imagery is that of train-compress and val-compress
    """

    study: Study

    def __post_init__(self) -> None:
        if not self.study.profile.domain.seeds:
            raise InputError(f"The profile {self.study.profile.name} asks for no seed: set domain.seeds.")
        if not self.study.profile.data.natural:
            raise InputError(
                f"The profile {self.study.profile.name} names no natural images, which the domain experiment compares "
                "with: set data.natural."
            )

    def results(self) -> pd.DataFrame:
        """Rate and distortion of every training on both kinds of images.

        Returns
        -------
        DataFrame
            columns of `satstudy.study.rate_distortion`, and `trained_on`, `tested_on`, `seed`
        """
        found = []
        for seed in range(self.study.profile.domain.seeds):
            for trained_on in TRAININGS:
                weights = self.weights(trained_on, seed)
                lams = self.study.profile.domain.measured
                codecs = [LearnedCodec(weights, self.study.profile.rd.tiling, lam=lam) for lam in lams]
                for tested_on in (OVERHEAD, NATURAL):
                    table = weights.path.parent / f"{tested_on}-{self._key(tested_on)}.csv"
                    images = self.measured_images(tested_on)
                    frame = rate_distortion.evaluate(images, codecs, table, progress=self.study.progress)
                    found.append(frame.assign(trained_on=trained_on, tested_on=tested_on, seed=seed))
        return pd.concat(found, ignore_index=True)

    def weights(self, trained_on: str, seed: int) -> Checkpoint:
        """The weights of one training, trained now if they are not there."""
        folder = self.folder(trained_on, seed)
        finished = folder / "weights.safetensors"
        if not finished.exists():
            domain = self.study.profile.domain
            before, _, last = trained_on.rpartition(", ")
            training = domain.training
            if before:
                training = dataclasses.replace(training, steps=domain.tune_steps, hold=0, noisy_steps=0)
            kinds = (OVERHEAD, NATURAL) if last == BOTH else (last,)
            sets = [self.training_images(kind) for kind in kinds]
            Trainer(
                training.config(seed),
                [image for some in sets for image in some],
                [],
                folder,
                weights=[1 / len(some) for some in sets for _ in some],
                init=self.weights(before, seed).wavelet_model if before else None,
                wavelet=training.size,
                metadata={"profile": self.study.profile.name, "domain": trained_on, "start": before or "random"},
                progress=self.study.progress,
            ).run()
        return checkpoint.load(finished)

    def folder(self, trained_on: str, seed: int) -> Path:
        """Where a training keeps its state, its weights and what was measured with them."""
        domain = self.study.profile.domain
        settings = dataclasses.asdict(domain.training), domain.tune_steps, domain.megapixels, domain.shrink
        key = digest(settings, self._names(OVERHEAD, measured=False), self._names(NATURAL, measured=False))
        return self.study.folder / "domain" / f"{trained_on.replace(', ', '-then-')}-seed{seed}-{key}"

    def training_images(self, kind: str) -> list[Pixels]:
        """As many images of one kind, in a random order, as `domain.megapixels` has room for."""
        found: list[Pixels] = []
        left = self.study.profile.domain.megapixels * 1e6
        for name in self._names(kind, measured=False):
            image = self._image(kind, name)
            left -= image.shape[0] * image.shape[1]
            if left < 0:
                return found
            found.append(image)
        raise InputError(
            f"The {kind} images for training have fewer than {self.study.profile.domain.megapixels:g} megapixels: "
            "lower domain.megapixels."
        )

    def measured_images(self, kind: str) -> list[Named]:
        """(name, image, category) of the images that are measured; each photograph is a category of its own."""
        if kind == NATURAL:
            names = self._names(kind, measured=True)[: self.study.profile.domain.images]
            return [(name, self._image(kind, name), name) for name in names]
        rows = spread(
            subset(self.study.manifest, "val-compress"), self.study.profile.domain.images, self.study.profile.seed
        )
        pairs = zip(rows["path"], rows["category"], strict=True)
        return [(name, self._image(kind, name), category) for name, category in pairs]

    def _names(self, kind: str, measured: bool) -> list[str]:
        """Images by their path in the data set, in a random order that is always the same."""
        if kind == NATURAL:
            root = self._natural
            names = [path.relative_to(root).as_posix() for path in find_images([root])]
            names = [name for name in names if in_the_fifth(name) == measured]
        else:
            names = list(subset(self.study.manifest, "val-compress" if measured else "train-compress")["path"])
        order = np.random.default_rng(self.study.profile.seed).permutation(len(names))
        return [names[index] for index in order]

    @property
    def _natural(self) -> Path:
        return paths.ROOT / self.study.profile.data.natural

    def _image(self, kind: str, name: str) -> Pixels:
        if kind == NATURAL:
            return shrunk(read_image(self._natural / name), self.study.profile.domain.shrink)
        return read_image(self.study.root / name)

    def _key(self, kind: str) -> str:
        domain = self.study.profile.domain
        return digest(domain.measured, domain.images, domain.shrink, self._names(kind, measured=True))


def gain(frame: pd.DataFrame, test: str, reference: str, tested_on: str) -> Interval:
    """BD-rate of one training against another, in %, negative where `test` takes fewer bits.

    The geometric mean over images and seeds. The interval resamples categories, and independently of them the seeds.
    Images on which two curves share no PSNR are left out.

    Parameters
    ----------
    frame : from `DomainExperiment.results`
    """
    part = frame[frame["tested_on"] == tested_on]
    rows: list[tuple[float, Hashable, Hashable]] = []
    for (_, category, seed), some in part.groupby(["image", "category", "seed"]):
        before, after = (some[some["trained_on"] == name].sort_values("bpp") for name in (reference, test))
        try:
            saved = bd_rate.bd_rate(before["bpp"], before["psnr"], after["bpp"], after["psnr"])
        except InputError:
            continue
        rows.append((float(np.log1p(saved / 100)), category, seed))
    if not rows:
        raise InputError(f"{test} and {reference} share no PSNR on any {tested_on} image: measure more λ.")
    logs, categories, seeds = zip(*rows, strict=True)
    return change_interval(logs, clusters=categories, runs=seeds)


def gains(frame: pd.DataFrame) -> pd.DataFrame:
    """Each training against the one on the kind of images that it is tested on: BD-rates in %, with intervals."""
    rows = []
    for tested_on in (OVERHEAD, NATURAL):
        for test in TRAININGS:
            if test != tested_on:
                found = gain(frame, test, tested_on, tested_on)
                rows.append({"tested_on": tested_on, "test": test, "reference": tested_on, **found._asdict()})
    return pd.DataFrame(rows)


def tables(study: Study) -> dict[str, pd.DataFrame]:
    """What the program of this module writes."""
    frame = DomainExperiment(study).results().drop(columns=["ms_ssim", "encode_s", "decode_s"])
    return {"domain": frame, "domain_gains": gains(frame)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The program of this module: `domain.csv` and `domain_gains.csv` among the results of a profile."""
    write_tables("domain", __doc__, tables, arguments)


if __name__ == "__main__":
    main()
