"""Study profiles: the settings of a study, read from one YAML file.

The comments at the fields below document the settings. An unknown key is an error that names the nearest known key.
A number may be written for a list of one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from satstudy.codecs import registry
from satstudy.codecs.wavelet.config import WaveletConfig
from satstudy.core import paths
from satstudy.core.errors import InputError, choices
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
    """The images of the study."""

    kind: Literal["synthetic", "folders", "fmow"]
    #: Folder of the images, absolute or relative to the repository; empty for synthetic scenes.
    root: str = ""
    #: Name of the data set in the book.
    label: str = ""
    #: Minimum height and width in pixels (paper, §4.1: 1024); 0 takes all images.
    min_size: Count = 0
    #: An unreadable image stops the run, or is skipped and counted.
    on_error: Literal["raise", "skip"] = "raise"
    #: Synthetic scenes: categories (0: all), objects of each category in the train and the val split, images of each
    #: object, and the side of an image in pixels.
    categories: Annotated[int, Field(ge=0, le=len(CATEGORIES))] = 0
    train_objects: Count = 0
    val_objects: Count = 0
    views: Positive = 1
    size: Annotated[int, Field(ge=SMALLEST)] = 1024
    #: Folder of natural photographs, for the codec trained on them (paper, Table 1); empty for none.
    natural: str = ""
    #: Folder of further overhead imagery, one subfolder for each set (`satstudy.data.sensors`); empty for none.
    sensors: str = ""

    def __post_init__(self) -> None:
        if self.kind != "synthetic" and not self.root:
            raise InputError(f"kind = {self.kind} needs the folder of its images: set root.")


@dataclass(frozen=True)
class Splits:
    """Images in each split; paper, §4.1: 1,289, 1,551 and 378."""

    method: Literal["objects", "number"] = "objects"
    train_compress: Count = 0
    train_class: Count = 0
    val_class: Count = 0
    #: With `method: number`: images with a number below this in their file name are train-compress.
    number: Count = 40


def _profile_of(init: str) -> str | None:
    kind, _, name = init.partition(":")
    return name if kind == "profile" else None


@dataclass(frozen=True)
class Train:
    """The codec's training; see `satstudy.training.config.TrainingConfig`."""

    lams: Several[Lam]
    #: Channels; 0 takes those of the initial weights, or 64 and 96 from scratch. M is one number, or a list with one
    #: for each λ. If M differs from that of the initial weights, latent channels are added or removed
    #: (`satstudy.training.surgery`).
    N: Channels = 0
    M: Several[Channels] = (0,)
    steps: Count = 1000
    #: Steps for a λ whose initial weights are those of a neighbouring λ; `steps` if 0.
    warm_steps: Count = 0
    batch: Positive = 8
    crop: int = 128
    lr: Annotated[float, Field(gt=0)] = 2e-3
    optimizer: Literal["soap", "adam"] = "soap"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    #: Input of the context model: with 0 the latents with noise, else the quantized latents of a decoder, found in so
    #: many passes. The difference matters at low rates and for large images.
    context_passes: Count = 0
    #: Initial weights: `shipped` (in the package), `scratch` (random), ``profile:NAME`` (those that another profile
    #: trains for the same domain, for each λ its own if there is one), or a file.
    init: str = "shipped"
    #: Images of train-compress that are not trained on; the loss is estimated on them every `validate_every` steps.
    validation: Count = 16
    validate_every: Positive = 500

    @property
    def starts_from(self) -> str | None:
        """The profile whose weights are the initial weights."""
        return _profile_of(self.init)

    def __post_init__(self) -> None:
        if not self.lams or len(set(self.lams)) < len(self.lams):
            raise InputError(f"lams = {list(self.lams)} must name one λ or more, each once.")
        if len(self.M) not in (1, len(self.lams)):
            raise InputError(
                f"M = {list(self.M)} must be one number of latents, or one for each of {len(self.lams)} λ."
            )
        self.config(self.lams[0], max(1, self.steps), seed=0)  # raises if a setting is out of range

    def config(self, lam: float, steps: int, seed: int) -> TrainingConfig:
        """The configuration of the training for one λ."""
        warmup, log_every = min(100, max(1, steps // 10)), max(1, min(20, steps // 50))
        return _configured(self, lam=lam, steps=steps, seed=seed, warmup=warmup, log_every=log_every)


def _configured(settings: Train | EveryRate, **changes: Any) -> TrainingConfig:
    """A training configuration from the settings of the same names, with changes."""
    names = {field.name for field in fields(TrainingConfig)} & {field.name for field in fields(settings)}
    return TrainingConfig(**{name: getattr(settings, name) for name in names} | changes)


#: The codecs of a profile that names none.
CODECS = ("jpeg", "jpeg2000", "webp", "avif", "learned")


@dataclass(frozen=True)
class RateDistortion:
    """The images and codecs of the rate-distortion curves."""

    #: Images of val-compress, evenly distributed over the categories; 0 takes all.
    images: Count = 0
    #: Side of the central crop that is coded; 0 codes the whole image.
    crop: Count = 0
    #: Name of a codec in `satstudy.codecs.registry` → list of settings, or `default`: the settings of the registry, or
    #: for a learned codec `lams`.
    codecs: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(CODECS, registry.DEFAULT))
    #: λ of the learned codecs; those of `train.lams` if empty. With `train.init: shipped`, a λ that `train.lams` does
    #: not name takes the weights that ship, if some do.
    lams: Several[Lam] = ()
    tiling: Tiling = "blend"
    #: Steps of latent refinement in codecs such as `learned-refined` (`satstudy.codecs.wavelet.refinement`).
    refine: Count = 20
    #: Further sets of images to code: name → folder (`satstudy.study.sets`).
    sets: dict[str, str] = field(default_factory=dict)
    #: Side of the central crop of a large scene; 0 codes the whole scene.
    scenes_crop: Count = 0
    #: Crops of 512×512 pixels, from the first of `sets`, on which codecs are timed at several efforts, refined ones by
    #: 20 to 500 steps; 0: no timing.
    speed: Count = 0
    #: Bootstrap resamples of the images for 95 % intervals.
    resamples: Positive = 2000

    def __post_init__(self) -> None:
        for name, given in self.codecs.items():
            registry.find(name).parse_settings(given)


@dataclass(frozen=True)
class Blending:
    """The measurement of seams between patches."""

    #: Number of images: the largest ones in the folder `root`, or of val-compress if that is empty.
    images: Positive = 2
    root: str = ""
    lam: Lam = 0.013
    overlaps: Several[Annotated[int, Field(ge=0, le=128)]] = (0, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class EveryRate:
    """The training of the wavelet codec: one model for every λ (`satstudy.training.config.TrainingConfig`)."""

    #: 0 uses the weights that `init` names, or those that ship.
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
    #: Steps at the peak learning rate before it falls; crops per step and their side from then on (0: unchanged).
    hold: Count = 0
    late_batch: Count = 0
    late_crop: Count = 0
    #: First steps with noise in place of quantization.
    noisy_steps: Count = 0
    optimizer: Literal["soap", "adam"] = "adam"
    recolour: bool = True
    #: Fractions of the crops from `data.sensors` (an equal number from each set), from mosaics of images shrunk by 2, 3
    #: and 4, each of one class, and from such mosaics of `data.sensors`. The rest is from train-compress.
    sensors: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shrunk: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shrunk_sensors: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: Initial weights: `scratch` (random), a file, or ``profile:NAME`` for the weights that another profile trains.
    init: str = "scratch"
    #: Steps between two estimates of the loss on the validation images (`train.validation`).
    validate_every: Positive = 500

    def __post_init__(self) -> None:
        self.size  # raises if widths and depths do not fit  # noqa: B018
        self.config(seed=0)
        if self.sensors + self.shrunk + self.shrunk_sensors >= 1:
            raise InputError(
                "The shares sensors, shrunk and shrunk_sensors leave nothing for train-compress: lower them."
            )

    @property
    def starts_from(self) -> str | None:
        """The profile whose weights are the initial weights."""
        return _profile_of(self.init)

    @property
    def size(self) -> WaveletConfig:
        return WaveletConfig(self.widths, self.depths, self.correction)

    def config(self, seed: int) -> TrainingConfig:
        """The configuration of the training."""
        return _configured(self, lam=self.lams, steps=max(1, self.steps), precision="fp32", seed=seed)


def _small() -> EveryRate:
    widths, depths = (32, 40, 48, 40, 32), (1, 1, 1, 1, 1)
    return EveryRate(
        steps=1500, lams=(0.005, 0.035), widths=widths, depths=depths, correction=16, hold=500, noisy_steps=300
    )


@dataclass(frozen=True)
class Domain:
    """Training on overhead imagery against training on natural photographs (`satstudy.study.domain`)."""

    #: Trainings on each kind of images, with different seeds; 0 leaves the experiment out.
    seeds: Count = 0
    #: The trainings from scratch, and the steps of those that fine-tune the weights of another one.
    training: EveryRate = field(default_factory=_small)
    tune_steps: Positive = 500
    #: The λ and the number of images of each kind that are measured.
    measured: Several[Lam] = (0.0065, 0.01, 0.016, 0.026)
    images: Positive = 63
    #: Training pixels of each kind, in millions.
    megapixels: Annotated[float, Field(gt=0)] = 30.0
    #: Factor by which photographs are shrunk.
    shrink: Positive = 2


@dataclass(frozen=True)
class Accuracy:
    """Classifiers of coded images; `satstudy.study.conditions` defines the names of conditions."""

    #: Objects of each category in synthetic scenes that only the classifiers use; 0: they use val-compress.
    objects: Count = 0
    #: Side in pixels of the images that classifiers see.
    size: Annotated[int, Field(ge=32)] = 256
    #: Use the shipped weights of the learned codec, if there are any, instead of those of this study.
    shipped: bool = False
    #: Profile that trains the weights on natural images, at its `train.lams`; by default this one.
    natural_profile: str = ""
    #: Name → `satstudy.classification.network.ClassifierConfig`.
    classifiers: dict[str, Any] = field(default_factory=dict)
    #: The matrix of accuracies: classifiers, columns (trained on) and rows (validated on).
    matrix_of: Several[str] = ()
    train_on: Several[str] = ("original",)
    validate_on: Several[str] = ("original",)
    #: Repeat the matrix with folds of images instead of objects: images of one object are then in training and
    #: validation.
    leakage: bool = False
    #: Possible explanations of the paper's Table 2: name → `satstudy.study.accuracy.Hypothesis`; differences are to the
    #: first. The `…_with` settings name classifiers.
    hypotheses: dict[str, Any] = field(default_factory=dict)
    hypotheses_with: Several[str] = ()
    #: Other training sets: name → `satstudy.classification.cross_validation.Column`, validated on the rows of the
    #: matrix.
    remedies: dict[str, Any] = field(default_factory=dict)
    remedies_with: Several[str] = ()
    #: Synthesis transform trained for the classifier: `satstudy.classification.synthesis_head.HeadConfig`, and the
    #: conditions it decodes.
    head: dict[str, Any] = field(default_factory=dict)
    head_rows: Several[str] = ()
    heads_with: Several[str] = ()
    #: Accuracy as a function of the rate: conditions, and the classifier.
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
        # The name of a folder in `build`.
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise InputError(f"The name {self.name!r} cannot name a folder: take letters, digits, - and _.")
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
    """The YAML files of a profile and of all profiles whose weights it takes or starts from."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        path = str(location(waiting.pop()))
        if path not in found:
            found.append(path)
            profile = load(path)
            others = profile.train.starts_from, profile.every_rate.starts_from, profile.accuracy.natural_profile
            waiting += [other for other in others if other]
    return found


def load(name: str) -> Profile:
    """A profile by its name, or by the path of its YAML file.

    Raises
    ------
    InputError
        No such profile, or settings that do not fit.
    """
    path = location(name)
    if not path.is_file():
        raise InputError(f"There is no profile {name!r}: {choices(name, names())}, or the path of a YAML file.")
    return read(Profile, path)
