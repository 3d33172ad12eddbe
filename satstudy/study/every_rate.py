"""The weights of a study that serve every rate: the wavelet codec, and the images that it is trained on."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.checkpoint import OVERHEAD, Checkpoint
from satstudy.core.digests import digest, file_digest
from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.data import sensors
from satstudy.data.images import read_image
from satstudy.data.mosaics import mosaic, shrunk
from satstudy.study import profiles
from satstudy.study.weights import StudyWeights
from satstudy.training.loop import Trainer

#: Factors by which images are shrunk, and columns and rows of the mosaics that the small ones make.
FACTORS, COLUMNS = (2, 3, 4), 4


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Images to train on, and how often each is drawn, relative to the others.

    Attributes
    ----------
    facts : share of the crops → where they come from, for the metadata of the weights
    """

    images: Sequence[Path | Pixels]
    weights: Sequence[float]
    facts: dict[str, str]


class EveryRateWeights(StudyWeights):
    """The weights of a study, with those that serve every rate."""

    def every_rate(self, domain: str = OVERHEAD) -> Checkpoint:
        """The weights of the wavelet codec, trained now if this study has not trained them.

        With no steps they are those of the file that `every_rate.init` names, else those that ship.

        Raises
        ------
        InputError
            None ship, or images that the profile names are not there.
        """
        train = self.profile.every_rate
        if not train.steps:
            path = self._every_rate_start or checkpoint.shipped_for_every_rate(domain)
            if path is None:
                raise checkpoint.none_ship(f"of the domain {domain} that serve every rate", "set every_rate.steps")
            return checkpoint.load(path)
        folder = self.every_rate_folder(domain)
        finished = folder / "weights.safetensors"
        if finished.exists():
            return checkpoint.load(finished)
        images, validation = self._training_images(domain)
        start = checkpoint.load(path) if (path := self._every_rate_start) else None
        mixture = self._mixture(images, domain)
        Trainer(
            train.config(self.profile.seed),
            mixture.images,
            validation,
            folder,
            weights=mixture.weights,
            init=start.wavelet_model if start else None,
            wavelet=train.size,
            metadata={
                "profile": self.profile.name,
                "domain": domain,
                "data": "; ".join(f"{share} {source}" for source, share in mixture.facts.items()),
                "images": str(len(mixture.images)),
                "start": start.metadata.get("profile", start.path.stem) if start else "random",
                "synthetic": str(self.profile.synthetic).lower(),
            },
            progress=self.progress,
        ).run()
        return checkpoint.load(finished)

    def every_rate_folder(self, domain: str = OVERHEAD) -> Path:
        """Where the training keeps its metrics, its state and its weights."""
        settings = dataclasses.asdict(self.profile.every_rate)
        del settings["validate_every"], settings["init"]
        start = self._every_rate_start
        further = [] if domain != OVERHEAD else sorted(path.name for some in self._further().values() for path in some)
        images = [[path.as_posix() for path in part] for part in self._training_images(domain, relative=True)]
        key = digest(settings, file_digest(start) if start else "random", self.profile.seed, images, further)
        return self.folder / "train" / f"{domain}-every-rate-{key}"

    @property
    def _every_rate_start(self) -> Path | None:
        """The weights that the training starts from, trained now if another profile trains them."""
        init = self.profile.every_rate.init
        if init == "scratch":
            return None
        if (name := self.profile.every_rate.starts_from) is not None:
            profile = profiles.load(name)
            if profile.name in (*self._later, self.profile.name) or not profile.every_rate.steps:
                raise InputError(
                    f"{self.profile.name} starts from the weights for every rate of {profile.name}, which starts from "
                    "it or trains none: name another profile in every_rate.init."
                )
            return self._study_before(profile).every_rate().path
        return self._named_file(init, "set every_rate.init to scratch")

    def _further(self) -> dict[str, list[Path]]:
        """Images of other sensors to train on, by set."""
        if not (self.profile.every_rate.sensors or self.profile.every_rate.shrunk_sensors):
            return {}
        root = self.named_folder(self.profile.data.sensors)
        return {
            name: [path for path in images if not sensors.measured(path)] for name, images in sensors.sets(root).items()
        }

    def _mixture(self, images: Sequence[Path], domain: str) -> Mixture:
        train, label = self.profile.every_rate, self.profile.data.label or self.profile.data.kind
        parts: dict[str, tuple[float, Sequence[Path | Pixels]]] = {}
        if domain == OVERHEAD and train.sensors:
            sets = {name: some for name, some in self._further().items() if some}
            parts |= {name: (train.sensors / len(sets), some) for name, some in sets.items()}
        if domain == OVERHEAD and train.shrunk:
            parts[f"{label}, shrunk"] = train.shrunk, _shrunk_mosaics(self._classes(images))
        if domain == OVERHEAD and train.shrunk_sensors:
            parts["sensors, shrunk"] = train.shrunk_sensors, _shrunk_mosaics(self._further())
        parts[label] = 1 - sum(share for share, _ in parts.values()), images
        return Mixture(
            [image for _, some in parts.values() for image in some],
            [share / len(some) for share, some in parts.values() for _ in some],
            {name: f"{share:.2f}" for name, (share, _) in parts.items()},
        )

    def _classes(self, images: Sequence[Path]) -> dict[str, list[Path]]:
        category = dict(zip(self.manifest["path"], self.manifest["category"], strict=True))
        classes: dict[str, list[Path]] = defaultdict(list)
        for path in images:
            classes[category[path.relative_to(self.root).as_posix()]].append(path)
        return classes


def _shrunk_mosaics(kinds: Mapping[str, Sequence[Path]]) -> list[Pixels]:
    """Mosaics of images at 1/2, 1/3 and 1/4 of their size, each of one kind."""
    size, found = COLUMNS**2, []
    images = {kind: [read_image(path) for path in paths] for kind, paths in kinds.items()}
    for factor in FACTORS:
        for whole in images.values():
            small = [shrunk(image, factor) for image in whole]
            for i in range(0, len(small) - size + 1, size):
                found.append(mosaic(small[i : i + size], COLUMNS))
    if not found:
        raise InputError(f"No kind of images has {size} for a mosaic of shrunk ones: set every_rate.shrunk to 0.")
    return found
