"""Study profiles: one YAML file says how large a study is and what it is made of.

A profile is data, and every setting in it has one meaning, written at the field it fills below. An
unknown key stops the run with the nearest known one, since a misspelt setting is otherwise a silent
default. A number may stand for a list of one.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from satstudy.codecs import registry
from satstudy.codecs.wavelet.config import WaveletConfig
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.core.geometry import Tiling
from satstudy.core.settings import Several, read
from satstudy.data.synthetic.scene import CATEGORIES, SMALLEST
from satstudy.training.config import TrainingConfig

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Lam = Annotated[float, Field(gt=0, lt=10)]
Channels = Annotated[int, Field(ge=0, le=1024)]


@dataclass(frozen=True)
class Data:
    """Where the images come from."""

    kind: Literal["synthetic", "folders", "fmow"]
    #: Folder of the images, absolute or below the repository; empty for synthetic scenes, which are drawn.
    root: str = ""
    #: What the images are called on a page of the book.
    label: str = ""
    #: Smaller images are left out (paper, §4.1: 1024); 0 takes all.
    min_size: Count = 0
    #: Skip unreadable images with a count, or stop at the first.
    on_error: Literal["raise", "skip"] = "raise"
    #: Of the synthetic scenes: categories (all if 0), objects of each in the two halves, images of an
    #: object, and the side of an image in pixels.
    categories: Annotated[int, Field(ge=0, le=len(CATEGORIES))] = 0
    train_objects: Count = 0
    val_objects: Count = 0
    views: Positive = 1
    size: Annotated[int, Field(ge=SMALLEST)] = 1024
    #: Folder of natural images, for the twin of Table 1; empty for none.
    natural: str = ""
    #: Folder of further overhead imagery, a subfolder for each set (`satstudy.data.sensors`); empty for none.
    sensors: str = ""

    def __post_init__(self) -> None:
        if self.kind != "synthetic" and not self.root:
            raise InputError(f"kind = {self.kind} needs the folder of its images: set root.")


@dataclass(frozen=True)
class Splits:
    """How many images each split holds; paper, §4.1: 1,289, 1,551 and 378."""

    method: Literal["objects", "number"] = "objects"
    train_compress: Count = 0
    train_class: Count = 0
    val_class: Count = 0
    #: With `number`: images numbered below this in their class are train-compress.
    number: Count = 40


@dataclass(frozen=True)
class Train:
    """The codec's training; see `satstudy.training.config.TrainingConfig`."""

    lams: Several[Lam]
    #: Channels; 0 takes those of the weights it starts from, and 64 and 96 from scratch. M may be one for all λ or a
    #: list, one for each; where it differs from that of the weights, latents are added or left out
    #: (`satstudy.training.surgery`).
    N: Channels = 0
    M: Several[Channels] = (0,)
    steps: Count = 1000
    #: Steps for a λ that starts from its neighbour's weights; `steps` if 0.
    warm_steps: Count = 0
    batch: Positive = 8
    crop: int = 128
    lr: Annotated[float, Field(gt=0)] = 2e-3
    optimizer: Literal["soap", "adam"] = "soap"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    #: What the context model sees: with 0 the latents with noise, else those that a decoder has, after so many passes.
    #: A decoder's own rounding matters at low rates, and in large images.
    context_passes: Count = 0
    #: `shipped` starts from the weights in the package, `scratch` from random ones, ``profile:NAME`` from those of
    #: another profile for the same domain, each λ that it has from its own; anything else is a file.
    init: str = "shipped"
    #: Images of train-compress held back to watch the training.
    validation: Count = 16
    validate_every: Positive = 500

    @property
    def starts_from(self) -> str | None:
        """The profile whose weights training starts from."""
        kind, _, name = self.init.partition(":")
        return name if kind == "profile" else None

    def __post_init__(self) -> None:
        if not self.lams or len(set(self.lams)) < len(self.lams):
            raise InputError(f"lams = {list(self.lams)} must name one λ or more, each once.")
        if len(self.M) not in (1, len(self.lams)):
            raise InputError(
                f"M = {list(self.M)} must be one number of latents, or one for each of {len(self.lams)} λ."
            )
        self.config(self.lams[0], max(1, self.steps), seed=0)  # raises where the training would refuse a setting

    def config(self, lam: float, steps: int, seed: int) -> TrainingConfig:
        """What the training of one λ is given."""
        return TrainingConfig(
            lam=lam,
            steps=steps,
            batch=self.batch,
            crop=self.crop,
            lr=self.lr,
            optimizer=self.optimizer,
            precision=self.precision,
            context_passes=self.context_passes,
            seed=seed,
            warmup=min(100, max(1, steps // 10)),
            validate_every=self.validate_every,
            log_every=max(1, min(20, steps // 50)),
        )


#: Measured where a profile names no codecs.
CODECS = ("jpeg", "jpeg2000", "webp", "avif", "learned")


@dataclass(frozen=True)
class RateDistortion:
    """What is coded for the rate-distortion curves."""

    #: Images of val-compress, spread evenly over the categories; 0 takes all.
    images: Count = 0
    #: Side of the central crop that is coded, 0 for the whole image.
    crop: Count = 0
    #: Codecs by their names in `satstudy.codecs.registry`, with a list of settings or `default`: the ladder of the
    #: registry or, for a learned codec, `lams`.
    codecs: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(CODECS, registry.DEFAULT))
    #: λ of the learned codecs; those of `train.lams` if empty. With `train.init: shipped`, a λ that `train.lams` does
    #: not name takes the weights that ship, if some do.
    lams: Several[Lam] = ()
    tiling: Tiling = "blend"
    #: Steps of latent refinement in codecs such as `learned-refined` (`satstudy.codecs.mbt2018.refinement`).
    refine: Count = 20
    #: Other sets of images that are coded as well: their name, and the folder that they lie in (`study.sets`).
    sets: dict[str, str] = field(default_factory=dict)
    #: Side of the central crop of a large scene, 0 for all of it.
    scenes_crop: Count = 0
    #: So many crops of 512×512 pixels to time codecs at several efforts on, of the first of `sets`; 0 for no timing.
    speed: Count = 0
    #: Bootstrap resamples of the images for 95 % intervals.
    resamples: Positive = 2000

    def __post_init__(self) -> None:
        for name, given in self.codecs.items():
            registry.find(name).settings(given)


@dataclass(frozen=True)
class Blending:
    """Seams and their removal."""

    #: The largest images of `root`, or of val-compress where that is empty; so many of them.
    images: Positive = 2
    root: str = ""
    lam: Lam = 0.013
    overlaps: Several[Annotated[int, Field(ge=0, le=128)]] = (0, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class EveryRate:
    """The training of the wavelet codec: one model for every λ (`satstudy.training.config.TrainingConfig`)."""

    #: 0 takes the weights that ship.
    steps: Count = 0
    #: Smallest and largest λ of the training.
    lams: tuple[Lam, Lam] = (0.0001, 0.2)
    #: The size of the model (`satstudy.codecs.wavelet.model.WaveletConfig`).
    widths: Several[Positive] = WaveletConfig().widths
    depths: Several[Count] = WaveletConfig().depths
    correction: Positive = WaveletConfig().correction
    batch: Positive = 8
    crop: int = 128
    lr: Annotated[float, Field(gt=0)] = 2e-3
    #: Steps at the peak of the learning rate, before it falls, and the crops from then on (0: as before).
    hold: Count = 0
    late_batch: Count = 0
    late_crop: Count = 0
    #: First steps, which see noise in place of quantization.
    noisy_steps: Count = 0
    optimizer: Literal["soap", "adam"] = "adam"
    recolour: bool = True
    #: Shares of the crops: from `data.sensors`, as much from each set, and from mosaics of images shrunk by 2, 3 and 4,
    #: of one class each. The rest is from train-compress.
    sensors: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shrunk: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: `scratch`, or the file of weights that training starts from.
    init: str = "scratch"
    #: Steps between two estimates on the validation images (`train.validation`).
    validate_every: Positive = 500

    def __post_init__(self) -> None:
        self.size  # raises where it is none  # noqa: B018
        self.config(seed=0)
        if self.sensors + self.shrunk >= 1:
            raise InputError("The shares sensors and shrunk leave nothing for train-compress: lower them.")

    @property
    def size(self) -> WaveletConfig:
        return WaveletConfig(self.widths, self.depths, self.correction)

    def config(self, seed: int) -> TrainingConfig:
        """What the training is given."""
        return TrainingConfig(
            lam=self.lams,
            steps=max(1, self.steps),
            batch=self.batch,
            crop=self.crop,
            lr=self.lr,
            hold=self.hold,
            late_batch=self.late_batch,
            late_crop=self.late_crop,
            noisy_steps=self.noisy_steps,
            optimizer=self.optimizer,
            precision="fp32",
            recolour=self.recolour,
            seed=seed,
            validate_every=self.validate_every,
        )


def _small() -> EveryRate:
    widths, depths = (32, 40, 48, 40, 32), (1, 1, 1, 1, 1)
    return EveryRate(
        steps=1500, lams=(0.005, 0.035), widths=widths, depths=depths, correction=16, hold=500, noisy_steps=300
    )


@dataclass(frozen=True)
class Domain:
    """Overhead imagery against natural photographs (`satstudy.study.domain`)."""

    #: Trainings of each kind; 0 leaves the experiment out.
    seeds: Count = 0
    #: The trainings, and the steps of those that begin with the weights of another one.
    training: EveryRate = field(default_factory=_small)
    tune_steps: Positive = 500
    #: λ that are measured, and images of each kind.
    measured: Several[Lam] = (0.0065, 0.01, 0.016, 0.026)
    images: Positive = 63
    #: Pixels that each kind trains on, in millions.
    megapixels: Annotated[float, Field(gt=0)] = 30.0
    #: By which photographs are shrunk.
    shrink: Positive = 2


@dataclass(frozen=True)
class Accuracy:
    """Classifiers that read coded images; see `satstudy.study.accuracy` for the names of conditions."""

    #: Synthetic scenes for the classifiers alone: objects of each category; 0 takes val-compress.
    objects: Count = 0
    #: Side in pixels of the images that classifiers see.
    size: Annotated[int, Field(ge=32)] = 256
    #: The learned codec with the weights that ship, where they do, instead of those of this study.
    shipped: bool = False
    #: λ of weights that are trained on natural images for the classifiers alone; `train.lams` where there is none.
    natural_lams: Several[Lam] = ()
    #: Name → `satstudy.classification.network.ClassifierConfig`.
    classifiers: dict[str, Any] = field(default_factory=dict)
    #: The matrix: its classifiers, its columns (trained on) and its rows (validated on).
    matrix_of: Several[str] = ()
    train_on: Several[str] = ("original",)
    validate_on: Several[str] = ("original",)
    #: Also with images divided into folds instead of objects, so that one object stands on both sides.
    leakage: bool = False
    #: What may explain the paper's Table 2: name → `satstudy.study.accuracy.Hypothesis`; the first is the base.
    hypotheses: dict[str, Any] = field(default_factory=dict)
    hypotheses_with: Several[str] = ()
    #: Other training sets: name → `satstudy.classification.cross_validation.Column`; the rows of the matrix if no rows.
    remedies: dict[str, Any] = field(default_factory=dict)
    remedies_with: Several[str] = ()
    remedy_rows: Several[str] = ()
    #: A second synthesis for the task: `satstudy.classification.synthesis_head.HeadConfig`, and where it is tried.
    head: dict[str, Any] = field(default_factory=dict)
    head_rows: Several[str] = ()
    heads_with: Several[str] = ()
    #: Accuracy against rate: conditions, and the classifier.
    curves: Several[str] = ()
    curves_with: str = ""


@dataclass(frozen=True)
class Profile:
    """One study, from images to book."""

    name: str
    description: str
    data: Data
    splits: Splits
    train: Train
    rd: RateDistortion = field(default_factory=RateDistortion)
    blending: Blending = field(default_factory=Blending)
    every_rate: EveryRate = field(default_factory=EveryRate)
    domain: Domain = field(default_factory=Domain)
    accuracy: Accuracy = field(default_factory=Accuracy)
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    def __post_init__(self) -> None:
        # It becomes a folder under `build`.
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise InputError(f"The name {self.name!r} is no folder's: take letters, digits, - and _.")
        if not self.data.natural:
            for name in self.rd.codecs:
                if (learned := registry.find(name).learned) and learned.domain == "natural":
                    raise InputError(f"rd.codecs has {name}, whose weights need natural images: set data.natural.")

    @property
    def synthetic(self) -> bool:
        return self.data.kind == "synthetic"


def names() -> list[str]:
    """The profiles of this checkout."""
    return sorted(path.stem for path in paths.PROFILES.glob("*.yaml"))


def location(name: str) -> Path:
    """The YAML file of a profile, named by its name or its path."""
    return Path(name) if name.endswith((".yaml", ".yml")) else paths.PROFILES / f"{name}.yaml"


def chain(name: str) -> list[str]:
    """The YAML files of a profile and of those that it starts from."""
    found: list[str] = []
    while str(location(name)) not in found:
        found.append(str(location(name)))
        name = load(name).train.starts_from or name
    return found


def load(name: str) -> Profile:
    """A profile by its name, or by the path of its YAML file.

    Raises
    ------
    InputError
        No such profile, or one that does not fit.
    """
    path = location(name)
    if not path.is_file():
        near = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean {near[0]}? There are" if near else "take one of"
        raise InputError(f"There is no profile {name!r}: {hint} {', '.join(names())}, or the path of a YAML file.")
    return read(Profile, path)
