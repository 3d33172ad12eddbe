"""One study: a profile, its folder under `build`, and how each thing in it comes to be.

Whatever is asked for is made if it is not there: images, splits, weights, measurements. So every
notebook can be run first, and a second run does only what changed: the name of a thing on disk ends with a
digest of the settings that made it, so that with another setting it is made anew.
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
    """A profile at work: its images, its weights, and what is measured with them; see `open_study`."""

    # --- What is coded ----------------------------------------------------------------------------------

    def learned(
        self, lam: float, domain: str = OVERHEAD, tiling: Tiling | None = None, refine: int = 0
    ) -> LearnedCodec:
        """The codec of one λ; the profile says how images are cut unless `tiling` does."""
        return LearnedCodec(self.weights(lam, domain), tiling or self.profile.rd.tiling, refine=refine)

    def rd_images(self) -> list[tuple[str, Path | Pixels, str]]:
        """(name, image, category) of the images that rate and distortion are measured on."""
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

    def codec(self, name: str, setting: Setting, tiling: Tiling | None = None) -> Codec:
        """A codec by its name in the registry; the weights of a learned one are trained if they are not there."""
        entry = registry.find(name)
        if entry.learned is None:
            return entry.make(setting)
        return entry.make(
            self.weights(setting, entry.learned.domain),
            tiling=tiling or self.profile.rd.tiling,
            refine=self.profile.rd.refine if entry.learned.refined else 0,
        )

    def rd_settings(self, lams: Sequence[float]) -> dict[str, tuple[Setting, ...]]:
        """Codec → settings that are measured for the rate-distortion curves.

        Parameters
        ----------
        lams : what `default` means for a learned codec
        """
        found = {}
        for name, given in self.profile.rd.codecs.items():
            entry = registry.find(name)
            if not entry.missing:
                found[name] = tuple(lams) if entry.learned and given == registry.DEFAULT else entry.settings(given)
        return found

    def missing_codecs(self) -> list[str]:
        """What to install for each codec of the profile that cannot run here and is left out."""
        entries = [registry.find(name) for name in self.profile.rd.codecs]
        return [entry.missing for entry in entries if entry.missing]

    def condition_codec(self, condition: str) -> Codec | None:
        """The codec of a condition such as `jpeg 75` or `learned 0.013`; None for `original`.

        Raises
        ------
        InputError
            No such codec, or a setting that it does not take.
        """
        found = registry.read_condition(condition)
        return None if found is None else self.codec(found[0].name, found[1])

    # --- Results ----------------------------------------------------------------------------------------

    @property
    def results(self) -> Path:
        """Where the tables of this study go: tracked for the reference studies, under `build` otherwise."""
        kept = self.profile.name in ("reference", "reference-accuracy")
        return paths.REFERENCE if kept else self.folder / "results"

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


def spread(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """`count` rows, as even over the categories as they allow, one of each object first; in the given order."""
    shuffled = rows.sample(frac=1, random_state=seed)
    turn = shuffled.groupby(["category", "object"]).cumcount()
    ordered = shuffled.assign(turn=turn).sort_values("turn", kind="stable")
    rank = ordered.groupby("category").cumcount()
    chosen = ordered.assign(rank=rank).sort_values("rank", kind="stable").index[:count]
    return rows.loc[sorted(chosen)].reset_index(drop=True)
