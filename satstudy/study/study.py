"""A study: a profile, its folder under `build`, and everything that is made in it on demand.

Images, splits, weights and measurements are made when they are first needed, so any notebook can be run first. The name
of each on disk ends with a digest of the settings that made it, so a second run makes only what has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from satstudy.codecs import Codec, registry
from satstudy.codecs.learned.checkpoint import OVERHEAD, Checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.codecs.registry import Setting
from satstudy.core import paths
from satstudy.core.geometry import Tiling
from satstudy.core.pixels import centre
from satstudy.core.types import Pixels
from satstudy.data.images import read_image
from satstudy.data.splits import subset
from satstudy.study import profiles
from satstudy.study.every_rate import EveryRateWeights
from satstudy.study.profiles import Profile


@dataclass(frozen=True)
class Study(EveryRateWeights):
    """The images, weights, codecs and results of a profile; made by `open_study`."""

    # --- What is coded ----------------------------------------------------------------------------------

    def mbt2018(self, lam: float, domain: str = OVERHEAD, tiling: Tiling | None = None) -> LearnedCodec:
        """The paper's codec at one λ; `tiling` is by default that of the profile."""
        return LearnedCodec(self.weights(lam, domain), tiling or self.profile.rd.tiling)

    def rd_images(self) -> list[tuple[str, Path | Pixels, str]]:
        """(name, image, category) of the images for the rate-distortion curves."""
        rd = self.profile.rd
        rows = subset(self.manifest, "val-compress")
        if rd.images and rd.images < len(rows):
            rows = spread(rows, rd.images, self.profile.seed)
        chosen: list[tuple[str, Path | Pixels, str]] = []
        for name, category in zip(rows["path"], rows["category"], strict=True):
            image: Path | Pixels = self.root / name
            if rd.crop:
                image = centre(read_image(self.root / name), rd.crop)
            chosen.append((name, image, category))
        return chosen

    def codec(self, name: str, setting: Setting, refine: int | None = None) -> Codec:
        """A codec by its name in the registry; a learned one trains its weights if they are not there.

        `refine` is by default `rd.refine` of the profile for a codec that refines, else 0.
        """
        entry = registry.find(name)
        if entry.learned is None:
            return entry.make(setting)
        if refine is None:
            refine = self.profile.rd.refine if entry.learned.refined else 0
        tiling, domain = self.profile.rd.tiling, entry.learned.domain
        if entry.learned.every_rate:
            return entry.make(self.every_rate(domain), tiling=tiling, lam=setting, refine=refine)
        return entry.make(self.weights(setting, domain), tiling=tiling, refine=refine)

    def example_codec(self, lam: float) -> LearnedCodec:
        """The learned codec that examples show: the main one that the profile measures, else mbt2018."""
        codec = self.codec(registry.main_codec(self.profile.rd.codecs) or "mbt2018", lam)
        assert isinstance(codec, LearnedCodec)
        return codec

    def rd_settings(self, lams: Sequence[float], codecs: Sequence[str] = ()) -> dict[str, tuple[Setting, ...]]:
        """Codec → settings that are measured for the rate-distortion curves.

        Parameters
        ----------
        lams : what `default` means for a learned codec with weights for each λ
        codecs : only these of the profile; all if empty
        """
        found = {}
        for name, given in self.profile.rd.codecs.items():
            if codecs and name not in codecs:
                continue
            entry = registry.find(name)
            if not entry.missing:
                each = entry.learned and not entry.learned.every_rate and given == registry.DEFAULT
                found[name] = tuple(lams) if each else entry.parse_settings(given)
        return found

    def missing_codecs(self) -> list[str]:
        """A sentence for each codec of the profile that is not installed: what to install."""
        entries = [registry.find(name) for name in self.profile.rd.codecs]
        return [entry.missing for entry in entries if entry.missing]

    def condition_codec(self, condition: str) -> Codec | None:
        """The codec of a condition such as `jpeg 75` or `mbt2018 0.013`; None for `original`.

        Raises
        ------
        InputError
            No such codec, or a setting that it does not take.
        """
        found = registry.read_condition(condition)
        return None if found is None else self.codec(found[0].name, found[1])

    @property
    def lams(self) -> list[float]:
        """λ at which the learned codecs are measured, rising."""
        return sorted(self.profile.rd.lams or self.profile.train.lams)

    # --- Results ----------------------------------------------------------------------------------------

    @property
    def results(self) -> Path:
        """Where the tables of this study go: tracked for the reference studies, under `build` otherwise."""
        kept = self.profile.name in ("reference", "reference-accuracy", "reference-wavelet")
        return paths.REFERENCE if kept else self.folder / "results"

    def provenance(self, checkpoints: Sequence[Checkpoint] = ()) -> dict[str, str]:
        """Profile, commit, data, and weights with their fingerprints, by name."""
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
    """The study of a profile, by its name or the path of its YAML file.

    >>> study = open_study("quick")
    >>> study.lams, study.folder.name
    ([0.0008, 0.0025, 0.0067, 0.013], 'quick')
    """
    loaded = profiles.load(profile) if isinstance(profile, str) else profile
    return Study(loaded, paths.BUILD / loaded.name, progress)


def spread(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """A random choice of `count` rows, even over the categories, with few rows of one object; in the given order."""
    shuffled = rows.sample(frac=1, random_state=seed)
    turn = shuffled.groupby(["category", "object"]).cumcount()
    ordered = shuffled.assign(turn=turn).sort_values("turn", kind="stable")
    rank = ordered.groupby("category").cumcount()
    chosen = ordered.assign(rank=rank).sort_values("rank", kind="stable").index[:count]
    return rows.loc[sorted(chosen)].reset_index(drop=True)
