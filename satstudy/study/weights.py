"""The weights of a study: which training each λ starts from, and the trainings."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.checkpoint import NATURAL, OVERHEAD, Checkpoint, nearest
from satstudy.core import paths
from satstudy.core.digests import digest, file_digest
from satstudy.core.errors import InputError
from satstudy.data.images import find_images
from satstudy.study import profiles
from satstudy.study.images import StudyImages
from satstudy.study.profiles import Profile
from satstudy.training.loop import Trainer
from satstudy.training.surgery import resize
from satstudy.training.validation import central_crops

#: Training images on which pruning measures the importance of latents.
PRUNING_IMAGES = 32


@dataclass(frozen=True)
class StudyWeights(StudyImages):
    """The images of a study, and the weights, which are trained when they are first needed."""

    #: Names of the profiles that lead here by `train.init`.
    _later: tuple[str, ...] = ()

    def training_folder(self, lam: float, domain: str = OVERHEAD) -> Path:
        """The folder of one training, with its metrics, state and weights."""
        return self.folder / "train" / f"{domain}-lam{lam:g}-{self._training_key(lam, domain)}"

    def _training_key(self, lam: float, domain: str) -> str:
        """A digest of everything that the weights depend on: settings, images, and the weights to start from."""
        train = dataclasses.asdict(self.profile.train)
        # Of the ladder only the neighbour counts; how often the run is validated does not count.
        for name in ("lams", "init", "steps", "warm_steps", "validate_every"):
            del train[name]
        train["M"] = self._latents(lam)
        start: Path | str | None
        if (neighbour := self.neighbour(lam)) is not None:
            start = self._training_key(neighbour, domain)
        elif self._earlier is not None:
            start = self._earlier._training_key(self._earlier.nearest(lam), domain)
        else:
            start = self._start_file(lam)
        images = [[path.as_posix() for path in part] for part in self._training_images(domain, relative=True)]
        source = self.source_key if domain == OVERHEAD else self.profile.data.natural
        started_from = file_digest(start) if isinstance(start, Path) else start or "random"
        return digest(lam, domain, self._steps(lam), self.profile.seed, train, started_from, source, images)

    def _training_images(self, domain: str, relative: bool = False) -> tuple[list[Path], list[Path]]:
        """Training images and validation images; as names within the data set if `relative`."""
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
            raise InputError(f"{count} of {len(images)} images are for validation: none is left to train on.")
        validation = set(np.random.default_rng(self.profile.seed).permutation(len(images))[:count].tolist())
        return (
            [image for i, image in enumerate(images) if i not in validation],
            [image for i, image in enumerate(images) if i in validation],
        )

    def _latents(self, lam: float) -> int:
        """M for one λ; 0 for the M of the weights that it starts from."""
        M = self.profile.train.M
        return M[0] if len(M) == 1 else M[self.profile.train.lams.index(self.nearest(lam))]

    def nearest(self, lam: float) -> float:
        """The λ of the profile nearest to `lam`."""
        return nearest(lam, self.profile.train.lams)

    @cached_property
    def _earlier(self) -> StudyWeights | None:
        """The study whose weights this one starts from."""
        name = self.profile.train.starts_from
        if name is None:
            return None
        profile = profiles.load(name)
        if profile.name in (*self._later, self.profile.name):
            raise InputError(f"The profile {profile.name} starts from itself: name another one in train.init.")
        return self._study_before(profile)

    def _study_before(self, profile: Profile) -> Self:
        """The study of a profile whose weights this one starts from."""
        later = (*self._later, self.profile.name)
        return dataclasses.replace(self, profile=profile, folder=paths.BUILD / profile.name, _later=later)

    def _named_file(self, init: str, remedy: str) -> Path:
        """The weights that a profile names by their path in the checkout.

        Raises
        ------
        InputError
            There is no such file.
        """
        path = paths.ROOT / init
        if not path.is_file():
            raise InputError(
                f"The profile {self.profile.name} starts from {path}, which is not there: put the weights there, or "
                f"{remedy}."
            )
        return path

    def _start_file(self, lam: float) -> Path | None:
        """The file of the weights that a training starts from; None for random ones."""
        init = self.profile.train.init
        if init == "scratch":
            return None
        if init == "shipped":
            shipped = checkpoint.shipped()
            if not shipped:
                raise checkpoint.none_ship("for overhead images", "set train.init to scratch")
            return shipped[nearest(lam, list(shipped))]
        return self._named_file(init, "set train.init to shipped or scratch")

    @cached_property
    def _base(self) -> float:
        """The λ that is trained first: that of the weights to start from, or the middle one."""
        lams = sorted(self.profile.train.lams)
        if self._earlier is not None:
            return self.nearest(self._earlier._base)
        if self.profile.train.init in ("shipped", "scratch"):
            return lams[len(lams) // 2]
        start = self._start_file(lams[0])
        assert start is not None
        return nearest(checkpoint.load(start).lam, lams)

    def neighbour(self, lam: float) -> float | None:
        """The λ of this study whose weights `lam` starts from; None if it starts from weights of another origin."""
        if self.profile.train.init == "shipped" or lam == self._base:
            return None
        if self._earlier is not None and lam in self._earlier.profile.train.lams:
            return None
        base = self._base
        ladder = sorted({*self.profile.train.lams, base})
        return nearest(lam, [x for x in ladder if (x > lam) == (base > lam) and x != lam] or [base])

    def _start(self, lam: float, domain: str) -> tuple[Checkpoint | None, str]:
        """The weights that the training of `lam` starts from, and their name in its metadata."""
        neighbour = self.neighbour(lam)
        if neighbour is not None:
            start, name = self.weights(neighbour, domain), f"this study, lam={neighbour:g}"
        elif self._earlier is not None:
            other = self._earlier.nearest(lam)
            start, name = self._earlier.weights(other, domain), f"{self._earlier.profile.name}, lam={other:g}"
        else:
            path = self._start_file(lam)
            if path is None:
                return None, "random"
            start, name = checkpoint.load(path), path.stem
        N, M, model = self.profile.train.N, self._latents(lam), start.paper_model
        if N not in (0, model.N):
            raise InputError(
                f"The profile {self.profile.name} asks for N = {N} and starts from {name} with N = {model.N}: "
                "take the same N, or start from scratch."
            )
        if M in (0, model.M):
            return start, name
        images = self._training_images(domain)[0]
        sample = images[:: -(-len(images) // PRUNING_IMAGES)]  # evenly, since images are sorted by class
        resized = resize(model, M, central_crops(sample, 256).float() / 255, self.profile.seed)
        return dataclasses.replace(start, model=resized, stored={}), f"{name}, M from {model.M} to {M}"

    def _steps(self, lam: float) -> int:
        train = self.profile.train
        return train.warm_steps if train.warm_steps and self.neighbour(lam) is not None else train.steps

    def weights(self, lam: float, domain: str = OVERHEAD) -> Checkpoint:
        """The weights of λ, trained now if they are not there yet.

        With `train.init: shipped` these are the weights that ship for λ, if no steps are asked for, or λ is none of
        `train.lams`. With no steps and a file as `train.init` they are those of the file.

        Raises
        ------
        InputError
            λ out of range, or no weights to start from.
        """
        if not 0 < lam < 10:
            raise InputError(f"lam = {lam:g} is no trade-off of this loss: take it between 0 and 10 (paper: ~0.01).")
        train, steps = self.profile.train, self._steps(lam)
        shipped = checkpoint.shipped(domain) if train.init == "shipped" else {}
        if lam in shipped and (train.steps == 0 or lam not in train.lams):
            return checkpoint.load(shipped[lam])
        if train.init == "shipped" and train.steps == 0:
            known = f"take one of {', '.join(f'{x:g}' for x in shipped)}" if shipped else "set train.steps"
            raise checkpoint.none_ship(f"of the domain {domain} for lam = {lam:g}", known)
        if train.steps == 0 and (start_file := self._start_file(lam)) is not None:
            found = checkpoint.load(start_file)
            if not found.serves_every_rate and found.lam != lam:
                raise InputError(f"The weights in {start_file} are for lam = {found.lam:g}, not {lam:g}: take that.")
            return found
        folder = self.training_folder(lam, domain)
        finished = folder / "weights.safetensors"
        if finished.exists():
            return checkpoint.load(finished)
        start, name = self._start(lam, domain)
        images, validation = self._training_images(domain)
        trainer = Trainer(
            train.config(lam, steps, self.profile.seed),
            images,
            validation,
            folder,
            init=start.paper_model if start else None,
            N=train.N or 64,
            M=self._latents(lam) or 96,
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
        return checkpoint.load(finished)

    def ladder(self) -> list[float]:
        """The λ of the profile in the order of training: each after the one that it starts from."""
        lams = self.profile.train.lams
        if self.profile.train.init == "shipped":
            return sorted(lams)
        base = self._base
        return sorted(lams, key=lambda lam: (abs(math.log(lam / base)), lam))
