"""The images of a study under named conditions: coded, decoded or distorted, and cached.

A condition is what is done to images before a classifier sees them. Its name is its steps, separated by `|`: a codec
with its setting (`jpeg 75`) or with a mean rate (`jpeg 0.77bpp`, the setting with the closest rate), a distortion
(`blur 1.5`), or `original` for no step. So `jpeg 75 | mbt2018 0.67bpp | swap` codes with JPEG, codes the result with
the paper's codec, and exchanges red and blue. `mbt2018-task` decodes the files of `mbt2018` with a synthesis head
(`satstudy.classification.synthesis_head`).
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from satstudy.classification.coded_images import (
    CodedSet,
    Condition,
    CropFunction,
    code_condition,
    distort,
    whole_image,
)
from satstudy.classification.distortions import DISTORTIONS, Distortion
from satstudy.classification.network import ClassifierConfig, Network
from satstudy.classification.network import build as build_network
from satstudy.classification.synthesis_head import HeadConfig, TaskCodec, load_head, train_head
from satstudy.classification.train import add_features
from satstudy.codecs import Codec, registry
from satstudy.codecs.base import closest_rate
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.checkpoint import NATURAL, OVERHEAD, Checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.codecs.registry import ORIGINAL
from satstudy.codecs.wavelet.config import named_lams
from satstudy.core.digests import digest, file_digest
from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.core.settings import build
from satstudy.data import fmow
from satstudy.data.fmow import crop_object
from satstudy.data.images import read_image
from satstudy.data.overlaps import find_overlaps, merge_objects
from satstudy.data.records import ImageRecord
from satstudy.data.synthetic.scene import CATEGORIES
from satstudy.data.synthetic.tree import write_tree
from satstudy.metrics import quality
from satstudy.study.study import Study, open_study

#: Number of images, evenly spaced in the list, over which the search for a setting averages the rate.
SEARCH_IMAGES = 21
#: Settings among which a rate is searched, from few bits to many.
QUALITIES = {"jpeg": range(1, 101), "webp": range(101), "avif": range(101)}
#: Suffix of the name of a codec whose files are decoded with a synthesis head.
TASK_SUFFIX = "-task"


@dataclass
class Conditions:
    """The images of a study that are classified, under any condition; made when asked for, and kept in `folder`."""

    study: Study
    _sets: dict[str, CodedSet] = field(default_factory=dict)
    _conditions: dict[str, Condition] = field(default_factory=dict)
    _every_rate_codecs: dict[str, LearnedCodec] = field(default_factory=dict)

    # --- Images -----------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        return self.study.folder / "accuracy"

    @cached_property
    def records(self) -> list[ImageRecord]:
        """The images that are classified: those of the split val-compress, or small synthetic scenes made for this.

        Tiles that show the same ground count as one object.
        """
        study, wanted = self.study, self.study.profile.accuracy
        data = study.profile.data
        if study.profile.synthetic and wanted.objects:
            root = self.folder / f"scenes-{digest(study.source_key, wanted.objects, wanted.size)}"
            categories = CATEGORIES[: data.categories] if data.categories else None
            write_tree(root, categories=categories, train_objects=wanted.objects, val_objects=0, views=1,
                       size=wanted.size, seed=study.profile.seed, progress=study.progress)  # fmt: skip
            return fmow.scan(root, split="train", min_size=None, progress=study.progress).records
        records = study.records("val-compress")
        return self._by_ground(records) if data.kind == "folders" else records

    def _by_ground(self, records: list[ImageRecord]) -> list[ImageRecord]:
        states = [(r.path.name, r.category, file_digest(r.path)) for r in records]
        path = self.folder / f"objects-{digest(states)}.json"
        if not path.exists():
            overlaps = find_overlaps([record.path for record in records], self.study.progress)
            with atomic(path) as temporary:
                temporary.write_text(json.dumps([r.object for r in merge_objects(records, overlaps)]))
        return [r._replace(object=name) for r, name in zip(records, json.loads(path.read_text()), strict=True)]

    @property
    def crop(self) -> CropFunction:
        """The function that crops an image for the classifier: to the box of its object, or not at all."""
        data, small = self.study.profile.data, self.study.profile.synthetic and self.study.profile.accuracy.objects
        return whole_image if small or data.kind == "folders" else crop_object

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The weights of all conditions that `condition` has made so far."""
        steps = [step for condition in self._conditions.values() for step in condition.steps]
        found = {step.fingerprint: step.checkpoint for step in steps if isinstance(step, LearnedCodec)}
        return sorted(found.values(), key=lambda checkpoint: (checkpoint.metadata.get("domain", ""), checkpoint.lam))

    def coded(self, condition: str) -> CodedSet:
        """The images under a condition; distortions after the last codec change only the crops for the classifier."""
        if condition not in self._sets:
            study, wanted = self.study, self.study.profile.accuracy
            steps = list(self.condition(condition).steps)
            distortions: list[Distortion] = []
            while steps and isinstance(step := steps[-1], Distortion):
                distortions.insert(0, step)
                steps.pop()
            name = " | ".join(condition.split(" | ")[: len(steps)] or [ORIGINAL]) if distortions else condition
            found = code_condition(self.records, Condition(name, tuple(steps)), self.folder / "coded", self.crop,
                                   size=wanted.size, progress=study.progress)  # fmt: skip
            if distortions:
                found = distort(found, condition, distortions, self.folder / "coded", study.progress)
            self._sets[condition] = found
        return self._sets[condition]

    def sets(self, conditions: Sequence[str], config: ClassifierConfig) -> dict[str, CodedSet]:
        """Condition → images, with the features of the frozen network where `config` needs them."""
        found = {name: self.coded(name) for name in dict.fromkeys(conditions)}
        if config.frozen:
            found = {name: add_features(one, config, self.folder / "features") for name, one in found.items()}
        return found

    # --- Conditions -------------------------------------------------------------------------------------

    def available(self, condition: str) -> bool:
        """Whether the study has the weights that a condition needs; it may lack those of natural images."""
        return all(self._lams(one) for one in (_learned(part.split()[0]) for part in condition.split("|")) if one)

    def condition(self, name: str) -> Condition:
        """The condition of a name.

        Raises
        ------
        InputError
            A step that is no codec and no distortion.
        """
        if name not in self._conditions:
            steps: list[Codec | Distortion] = []
            for part in (text.strip() for text in name.split("|")):
                if part == ORIGINAL:
                    continue
                if part.partition(" ")[0] in DISTORTIONS:
                    steps.append(Distortion.parse(part))
                else:
                    steps.append(self._codec(part, Condition(name, tuple(steps))))
            self._conditions[name] = Condition(name, tuple(steps))
        return self._conditions[name]

    def _codec(self, text: str, before: Condition) -> Codec:
        kind, _, value = text.partition(" ")
        if value.endswith("bpp"):
            return self._at_rate(kind, float(value.removesuffix("bpp")), before)
        if learned := _learned(kind):
            return self._learned(learned, float(value), task=kind.endswith(TASK_SUFFIX))
        codec = self.study.condition_codec(text)
        assert codec is not None
        return codec

    def _lams(self, learned: registry.Learned) -> list[float]:
        """The λ at which a learned codec can be used: those of the shipped weights, and those that the study trains."""
        profile, domain = self.study.profile, learned.domain
        if learned.every_rate:
            there = profile.every_rate.steps or checkpoint.shipped_for_every_rate(domain)
            return named_lams() if there else []
        trains = self._trains(domain).profile
        lams = set() if domain == NATURAL and not trains.data.natural else set(trains.train.lams)
        return sorted(lams | set(checkpoint.shipped(domain) if profile.accuracy.shipped else ()))

    def weights(self, lam: float, domain: str = OVERHEAD) -> Checkpoint:
        """The weights of a λ: shipped ones if the profile has `accuracy.shipped` and they exist, else the study's."""
        shipped = checkpoint.shipped(domain) if self.study.profile.accuracy.shipped else {}
        return checkpoint.load(shipped[lam]) if lam in shipped else self._trains(domain).weights(lam, domain)

    def _trains(self, domain: str) -> Study:
        """The study that trains the weights of a domain."""
        return self._natural if domain == NATURAL else self.study

    @cached_property
    def _natural(self) -> Study:
        other = self.study.profile.accuracy.natural_profile
        return open_study(other, self.study.progress) if other else self.study

    def _learned(self, learned: registry.Learned, lam: float, task: bool = False) -> Codec:
        tiling = self.study.profile.rd.tiling
        if learned.every_rate:
            return self._every_rate(learned.domain).at(lam)
        weights = self.weights(lam, learned.domain)
        return TaskCodec(weights, self._head(weights), tiling) if task else LearnedCodec(weights, tiling)

    def _every_rate(self, domain: str) -> LearnedCodec:
        if domain not in self._every_rate_codecs:
            self._every_rate_codecs[domain] = LearnedCodec(self.study.every_rate(domain), self.study.profile.rd.tiling)
        return self._every_rate_codecs[domain]

    def _head(self, weights: Checkpoint) -> dict[str, Tensor]:
        """The synthesis head for the features of the first frozen classifier; trained if there is no file of it."""
        wanted = self.study.profile.accuracy
        config: HeadConfig = build(HeadConfig, dict(wanted.head), f"{self.study.profile.name}.accuracy.head")
        frozen = next((self.config(name) for name in wanted.classifiers if self.config(name).frozen), None)
        if frozen is None or not config.steps:
            raise InputError("A synthesis head needs a frozen classifier, and head.steps above 0 in the profile.")
        identity = digest(weights.fingerprint.hex(), wanted.head, frozen.arch, frozen.start)
        path = self.folder / f"head-lam{weights.lam:g}-{identity}.safetensors"
        if path.exists():
            return load_head(weights, path)
        images = [read_image(record.path) for record in self._head_training_images()]
        network = Network(build_network(frozen, 0), frozen)
        large = [image for image in images if min(image.shape[:2]) >= config.crop]
        return train_head(weights, network, large, config, path, progress=self.study.progress)

    def _head_training_images(self) -> list[ImageRecord]:
        """The split train-compress without tiles that show ground of val-compress."""
        train = self.study.records("train-compress")
        if self.study.profile.data.kind != "folders":
            return train
        count = len(train)
        both = [record.path for record in (*train, *self.study.records("val-compress"))]
        shared = {o.first for o in find_overlaps(both, self.study.progress) if o.first < count <= o.second}
        return [record for i, record in enumerate(train) if i not in shared]

    def _at_rate(self, kind: str, bpp: float, before: Condition) -> Codec:
        """The codec at the setting whose rate on these images is closest to `bpp`."""
        if kind == "jpeg2000":  # its setting is the rate
            codec = self.study.condition_codec(f"jpeg2000 {bpp:g}")
            assert codec is not None
            return codec
        make: Callable[[int], Codec]
        settings: Sequence[float]
        if learned := _learned(kind):
            settings = self._lams(learned)
            if not settings:
                raise InputError(f"There are no weights of the domain {learned.domain}: {kind} cannot be measured.")
            # A head changes what is decoded and not the file.
            make = lambda i: self._learned(learned, settings[i])  # noqa: E731
            if learned.every_rate:
                identity: object = self.study.every_rate(learned.domain).fingerprint.hex()
            else:
                identity = [self.weights(lam, learned.domain).fingerprint.hex() for lam in settings]
        elif kind in QUALITIES:
            settings = identity = list(QUALITIES[kind])
            make = lambda i: self._codec(f"{kind} {settings[i]}", before)  # noqa: E731
        else:
            known = ", ".join([*QUALITIES, *(name for name in registry.names() if registry.find(name).learned)])
            raise InputError(f"No rate can be searched for with {kind!r}: take one of {known}.")
        records = self.records[:: max(1, len(self.records) // SEARCH_IMAGES)]
        path = self.folder / "rates" / f"{digest(identity, before.setting, bpp, [r.path.name for r in records])}.json"
        if not path.exists():
            images = [before.apply(read_image(record.path))[0] for record in records]

            @functools.cache
            def log_ratio(index: int) -> float:
                """The logarithm of the mean rate divided by `bpp`."""
                codec = make(index)
                rates = [quality.bpp(len(codec.encode(image)), *image.shape[:2]) for image in images]
                return math.log(float(np.mean(rates)) / bpp)

            index = closest_rate(log_ratio, len(settings), 0.0)
            with atomic(path) as temporary:
                found = {"codec": kind, "wanted": bpp, "index": index, "reached": bpp * math.exp(log_ratio(index))}
                temporary.write_text(json.dumps(found))
        setting = settings[json.loads(path.read_text())["index"]]
        return self._codec(f"{kind} {setting:g}", before)

    # --- Classifiers ------------------------------------------------------------------------------------

    def config(self, classifier: str) -> ClassifierConfig:
        """The settings of one of the profile's classifiers."""
        known = self.study.profile.accuracy.classifiers
        if classifier not in known:
            raise InputError(f"The profile has no classifier {classifier!r}: take one of {', '.join(known)}.")
        where = f"{self.study.profile.name}.accuracy.classifiers.{classifier}"
        config: ClassifierConfig = build(ClassifierConfig, dict(known[classifier]), where)
        return config


def _learned(kind: str) -> registry.Learned | None:
    """The weights that a learned codec takes, by its name with or without `TASK_SUFFIX`; None for other names."""
    name = kind.removesuffix(TASK_SUFFIX)
    return registry.find(name).learned if name in registry.names() else None
