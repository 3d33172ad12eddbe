"""The classifiers of a study: the matrix, what may explain the paper's, what helps, and which rates suffice.

Run as a program it computes, one job after another, all that the page of a profile needs:

    python -m satstudy.study.accuracy reference-accuracy --list
    python -m satstudy.study.accuracy reference-accuracy --only "train scratch"

Jobs are sets of coded images, classifiers, their answers, and the tables of results. What was done is not done again.
Classifiers can be trained side by side: first do the jobs `--only images`, then any `--only "train …"` at once, then
all the rest.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from satstudy.classification.coded_images import CodedSet, conditions_frame
from satstudy.classification.cross_validation import Column, CrossValidation
from satstudy.classification.train import add_features
from satstudy.codecs import registry
from satstudy.codecs.registry import ORIGINAL
from satstudy.core.digests import digest
from satstudy.core.errors import told_at_the_end
from satstudy.core.paths import atomic
from satstudy.core.settings import build
from satstudy.core.types import Floats, Pixels
from satstudy.data.records import ImageRecord
from satstudy.metrics import accuracy, quality, transfer
from satstudy.report import paper
from satstudy.study.conditions import TASK_SUFFIX, Conditions
from satstudy.study.notebook import save_facts, save_table
from satstudy.study.profiles import Accuracy
from satstudy.study.study import open_study


@dataclass(frozen=True)
class Hypothesis:
    """What may have differed between the paper's two pipelines, or between its study and this one.

    Attributes
    ----------
    before : steps that all images go through before they are coded
    after : steps that follow the learned codec alone
    classifier : the classifier that it is tested with; those of `hypotheses_with` by default
    """

    before: str = ""
    after: str = ""
    classifier: str = ""

    def rewrite(self, condition: str) -> str:
        """A condition of the paper under this hypothesis.

        >>> Hypothesis(before="jpeg 75", after="swap").rewrite("mbt2018 0.67bpp")
        'jpeg 75 | mbt2018 0.67bpp | swap'
        """
        name = condition.split()[0]
        after = self.after if name in registry.names() and registry.find(name).learned else ""
        steps = [part for part in (self.before, condition, after) if part]
        return " | ".join([part for part in steps if part != ORIGINAL] or [ORIGINAL])


def paper_condition(condition: paper.PaperCondition) -> str:
    """What a condition of the paper's Table 2 is called here: "mbt2018 0.67bpp"."""
    return ORIGINAL if condition.codec == ORIGINAL else f"{condition.codec} {condition.bpp:g}bpp"


class Run(NamedTuple):
    """Columns and rows that one classifier is measured in for one of the tables."""

    table: str  #: "matrix", "hypotheses", "remedies", "heads", "curves", "matched" or "leakage"
    classifier: str
    columns: Mapping[str, Column]
    rows: list[str]
    label: str = ""  #: tells the runs of one table apart: the hypothesis, or the condition
    by_image: bool = False  #: divide images into folds and not objects

    @property
    def key(self) -> tuple[str, str, str]:
        return self.table, self.label, self.classifier

    @property
    def conditions(self) -> list[str]:
        """All that is trained on or validated on."""
        trained = [condition for column in self.columns.values() for condition in column.conditions]
        return list(dict.fromkeys((*trained, *self.rows)))


@dataclass
class Classification(Conditions):
    """The classifiers of a study on its images; trained when asked for, and kept in `folder`.

    Tables are made of the runs that have been answered: all after `run_all`.
    """

    #: Of the runs that are answered: `Run.key` → the predictions frame.
    answered: dict[tuple[str, str, str], pd.DataFrame] = field(default_factory=dict)

    # --- What the profile asks for ----------------------------------------------------------------------

    def hypotheses(self) -> dict[str, Hypothesis]:
        where = f"{self.study.profile.name}.accuracy.hypotheses"
        wanted = self._wanted.hypotheses
        return {name: build(Hypothesis, dict(value or {}), f"{where}.{name}") for name, value in wanted.items()}

    def remedies(self, classifier: str) -> dict[str, Column]:
        """The columns of the profile's remedies; a frozen network takes only those that are whole sets of images."""
        where = f"{self.study.profile.name}.accuracy.remedies"
        wanted = self._wanted.remedies
        columns = _plain([ORIGINAL])
        columns |= {name: build(Column, dict(value), f"{where}.{name}") for name, value in wanted.items()}
        frozen = self.config(classifier).frozen
        return {
            name: column for name, column in columns.items()
            if all(map(self.available, column.conditions)) and not (frozen and (column.start or column.images))
        }  # fmt: skip

    @property
    def _wanted(self) -> Accuracy:
        return self.study.profile.accuracy

    def cross_validation(self, run: Run) -> CrossValidation:
        """The classifiers of a run, with the images that they and the rows need."""
        config = self.config(run.classifier)
        sets = self.sets(run.conditions, config)
        folder = self.folder / "networks"
        return CrossValidation(config, sets, run.columns, folder, run.by_image, progress=self.study.progress)

    def answer(self, run: Run) -> pd.DataFrame:
        """The predictions frame of a run, measured now if it is not there."""
        if run.key not in self.answered:
            self.answered[run.key] = self.cross_validation(run).predictions(run.rows)
        return self.answered[run.key]

    def example(self) -> tuple[ImageRecord, list[str], Callable[[Pixels], Floats]]:
        """The first classifier of the matrix, trained on uncompressed images of all folds but one, and an image of it.

        Returns
        -------
        record, classes, and a function from a crop, uint8 (size, size, 3), to the probability of each class
        """
        name = self._wanted.matrix_of[0]
        config, known = self.config(name), self.cross_validation(Run("matrix", name, _plain([ORIGINAL]), [ORIGINAL]))
        classifier = known.classifier(ORIGINAL, 0, 0)
        row = known.folds(0)[0].validation[:1]

        def probabilities(crop: Pixels) -> Floats:
            shown = dataclasses.replace(self.coded(ORIGINAL).take(row), images=crop[None])
            if config.frozen:
                shown = add_features(shown, config, self.folder / "features")
            return classifier.probabilities(shown)[0]

        return self.records[row[0]], classifier.classes, probabilities

    def _frames(self, table: str) -> dict[tuple[str, str], pd.DataFrame]:
        """(label, classifier) → predictions, of the runs of a table that are answered."""
        return {(label, name): frame for (of, label, name), frame in self.answered.items() if of == table}

    def _available(self, conditions: Sequence[str]) -> list[str]:
        return [condition for condition in conditions if self.available(condition)]

    @property
    def rows(self) -> list[str]:
        """The conditions that the matrix validates on."""
        return self._available(self._wanted.validate_on)

    def missing(self) -> list[str]:
        """Conditions of the profile that cannot be measured here."""
        wanted = self._wanted
        return [c for c in dict.fromkeys((*wanted.train_on, *wanted.validate_on)) if not self.available(c)]

    # --- Runs and jobs ----------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """What is measured: frozen networks first, which take minutes where the others take hours."""
        wanted = self._wanted
        columns = _plain(self._available(wanted.train_on))
        tasks = [name for condition in wanted.head_rows for name in (condition, _task(condition))]
        points = self._available(wanted.curves)
        runs = [Run("matrix", name, columns, self.rows) for name in wanted.matrix_of]
        runs += self._hypothesis_runs()
        runs += [Run("remedies", name, columns | self.remedies(name), self.rows) for name in wanted.remedies_with]
        if points:
            runs.append(Run("curves", wanted.curves_with, _plain([ORIGINAL]), [ORIGINAL, *points]))
            # The matrix of all pairs would be many times as many answers.
            runs += [Run("matched", wanted.curves_with, _plain([name]), [name], name) for name in points]
        runs += [Run("heads", name, _plain([ORIGINAL]), tasks) for name in wanted.heads_with if tasks]
        if wanted.leakage:
            runs += [Run("leakage", name, columns, self.rows, by_image=True) for name in wanted.matrix_of]
        return sorted(runs, key=lambda run: not self.config(run.classifier).frozen)

    def _hypothesis_runs(self) -> Iterator[Run]:
        """The paper's matrix under each hypothesis."""
        columns = self._available([paper_condition(r) for r in paper.TABLE_2_TRAINED])
        rows = self._available([paper_condition(r) for r in paper.TABLE_2_VALIDATED])
        for name, hypothesis in self.hypotheses().items():
            classifiers = (hypothesis.classifier,) if hypothesis.classifier else self._wanted.hypotheses_with
            for classifier in classifiers:
                trained = _plain(map(hypothesis.rewrite, columns))
                yield Run("hypotheses", classifier, trained, list(map(hypothesis.rewrite, rows)), name)

    def jobs(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """(name, what to do): for each run its images, its networks, its answers and the tables they belong to."""
        seen = set()
        for run in self.runs():
            for job in self._jobs_of(run):
                if job[0] not in seen:
                    yield job
                seen.add(job[0])

    def _jobs_of(self, run: Run) -> Iterator[tuple[str, Callable[[], object]]]:
        config = self.config(run.classifier)
        for condition in run.conditions:
            yield f"images {condition}", functools.partial(self.coded, condition)
            if config.frozen:
                yield f"features {run.classifier}: {condition}", functools.partial(self.sets, (condition,), config)
        rounds = itertools.product(run.columns, range(config.seeds), range(config.folds))
        for column, seed, fold in [] if config.frozen else rounds:
            how = " by image" if run.by_image else ""
            name = f"train {run.classifier}: {column}, seed {seed}, fold {fold}{how}"
            yield name, functools.partial(self._train, run, (column, seed, fold))
        yield f"answers {' '.join(filter(None, run.key))}", functools.partial(self.answer, run)
        yield f"tables {' '.join(filter(None, run.key))}", functools.partial(self.save_tables, run.table)

    def _train(self, run: Run, job: tuple[str, int, int]) -> None:
        self.cross_validation(run).train([job])

    def run_all(self) -> None:
        """Do all jobs that are not done yet, and write all tables."""
        for _, work in self.jobs():
            work()

    def save_tables(self, of: str) -> None:
        """Write the tables that the answered runs of "matrix", "hypotheses" and so on give."""
        for name, frame in self.tables(of).items():
            save_table(self.study, name, frame)
        labels = [record.category for record in self.records]
        facts = {
            **accuracy.chance(labels, labels)._asdict(),
            **self.study.provenance(self.checkpoints),
            "classifiers": self._wanted.classifiers,
            "images": len(labels),
            "objects": len({record.object for record in self.records}),
            "missing": self.missing(),
        }
        save_facts(self.study, "accuracy", facts)

    def tables(self, of: str) -> dict[str, pd.DataFrame]:
        """Name of a result table → what the answered runs of "matrix", "hypotheses" and so on give."""
        makers: dict[str, Callable[[], dict[str, pd.DataFrame]]] = {
            "matrix": self._matrix_tables,
            "leakage": lambda: {"accuracy_leakage": self.compare_leakage()},
            "hypotheses": lambda: {"accuracy_hypotheses": self.compare_hypotheses()},
            "remedies": lambda: {"accuracy_remedies": self.compare_remedies()},
            "heads": lambda: {"accuracy_heads": self.compare_heads()},
            "curves": dict,
            "matched": self._curve_tables,
        }
        return makers[of]()

    # --- The matrix -------------------------------------------------------------------------------------

    def matrix(self) -> pd.DataFrame:
        """The matrix of every classifier.

        Returns
        -------
        DataFrame
            classifier, trained_on, validated_on, accuracy, low, high, seeds, images, objects, and the paired
            difference to the own condition of the column: difference, difference_low, difference_high
        """
        frames = []
        for (_, name), frame in self._frames("matrix").items():
            both = accuracy.accuracy_matrix(frame).merge(transfer.against_own(frame), on=["trained_on", "validated_on"])
            frames.append(both.assign(classifier=name))
        matrix = pd.concat(frames, ignore_index=True)
        return matrix[["classifier", *(c for c in matrix.columns if c != "classifier")]]

    def _matrix_tables(self) -> dict[str, pd.DataFrame]:
        frames = self._frames("matrix")
        names = list(dict.fromkeys((*self.rows, *self._available(self._wanted.train_on))))
        of_classes = [transfer.class_accuracies(frame).assign(classifier=name) for (_, name), frame in frames.items()]
        return {
            "accuracy": self.matrix(),
            "accuracy_conditions": self.conditions(names),
            "accuracy_classes": pd.concat(of_classes, ignore_index=True),
            "accuracy_confusion": accuracy.confusions(next(iter(frames.values()))),
        }

    def compare_leakage(self) -> pd.DataFrame:
        """What a split by images adds to the accuracy, by classifier: as `metrics.accuracy.leakage_effect`."""
        kept = self._frames("matrix")
        parts = [
            accuracy.leakage_effect(kept["", name], frame).assign(classifier=name)
            for (_, name), frame in self._frames("leakage").items()
        ]
        return pd.concat(parts, ignore_index=True)

    def conditions(self, names: Sequence[str]) -> pd.DataFrame:
        """condition, codec, setting, bpp, psnr of the sets."""
        return conditions_frame([self.coded(name) for name in names])

    # --- Experiments ------------------------------------------------------------------------------------

    def hypothesis_frames(self) -> dict[tuple[str, str], pd.DataFrame]:
        """(hypothesis, classifier) → predictions under the paper's names of conditions."""
        rows = [paper_condition(r) for r in paper.TABLE_2_VALIDATED]
        hypotheses, found = self.hypotheses(), {}
        for (name, classifier), frame in self._frames("hypotheses").items():
            back = {hypotheses[name].rewrite(old): old for old in rows}
            found[name, classifier] = frame.replace({"trained_on": back, "validated_on": back})
        return found

    def compare_hypotheses(self) -> pd.DataFrame:
        """Distance of each hypothesis to the pattern of the paper's Table 2, by classifier.

        Returns
        -------
        DataFrame
            As `transfer.compare_patterns`, with classifier; the first hypothesis of the profile is the base.
        """
        frames, hypotheses = self.hypothesis_frames(), self.hypotheses()
        table = paper.paper_table_2()
        table.index = pd.Index([paper_condition(r) for r in paper.TABLE_2_VALIDATED])
        table.columns = pd.Index([paper_condition(r) for r in paper.TABLE_2_TRAINED])
        base = next(iter(hypotheses))
        classes = len({record.category for record in self.records})
        parts = []
        for classifier in (name for name in self._wanted.hypotheses_with if (base, name) in frames):
            # One that is tested with a classifier of its own stands beside the others of each.
            own = {
                name if used == classifier else f"{name} ({used})": frame
                for (name, used), frame in frames.items()
                if used == classifier or hypotheses[name].classifier
            }
            compared = transfer.compare_patterns(own, table, 1 / classes, 1 / paper.CLASSES, base)
            parts.append(compared.assign(classifier=classifier))
        return pd.concat(parts, ignore_index=True)

    def compare_remedies(self) -> pd.DataFrame:
        """Worst row of each remedy, by classifier: as `transfer.worst_rows`, with classifier."""
        parts = []
        for (_, classifier), frame in self._frames("remedies").items():
            rows = list(dict.fromkeys(frame["validated_on"]))
            parts.append(transfer.worst_rows(frame, rows, ORIGINAL).assign(classifier=classifier))
        return pd.concat(parts, ignore_index=True)

    def compare_heads(self) -> pd.DataFrame:
        """What a synthesis head for the task changes, for classifiers trained on uncompressed images.

        Returns
        -------
        DataFrame
            classifier, condition, bpp, psnr, psnr_task, accuracy, accuracy_task, gain, low, high
        """
        rows = []
        conditions = list(self._wanted.head_rows)
        tasks = [_task(condition) for condition in conditions]
        for (_, classifier), frame in self._frames("heads").items():
            found = transfer.cells(frame)
            for condition, task in zip(conditions, tasks, strict=True):
                plain, other = found.index(ORIGINAL, condition), found.index(ORIGINAL, task)
                gain = found.interval(lambda v, a=plain, b=other: float(v[b] - v[a]))  # type: ignore[misc]
                before, after = (self.coded(name).describe() for name in (condition, task))
                rows.append(
                    (classifier, condition, before["bpp"], before["psnr"], after["psnr"], found.values[plain],
                     found.values[other], *gain)
                )  # fmt: skip
        names = [
            "classifier",
            "condition",
            "bpp",
            "psnr",
            "psnr_task",
            "accuracy",
            "accuracy_task",
            "gain",
            "low",
            "high",
        ]
        return pd.DataFrame(rows, columns=names)

    def _curve_tables(self) -> dict[str, pd.DataFrame]:
        """Accuracy against rate, of classifiers trained on uncompressed images and of those trained on the condition.

        Returns
        -------
        dict
            `accuracy_curves`: codec, condition, setting, bpp, psnr, ms_ssim, trained ("original" or "matched"),
            accuracy, low, high; `accuracy_rates`: of `transfer.sufficient_rates` with trained and classifier;
            `accuracy_measures`: of `transfer.rank_correlations`
        """
        own = self._frames("matched")
        points = [label for label, _ in own]
        if len(points) < len(self._available(self._wanted.curves)):
            return {}
        original = self.answered["curves", "", self._wanted.curves_with]
        matched = pd.concat(own.values(), ignore_index=True)
        conditions = self.conditions(points)
        frames, rates = [], []
        for trained, frame in (("original", original), ("matched", pd.concat([matched, original]))):
            matrix = accuracy.accuracy_matrix(frame)
            if trained == "matched":
                matrix = matrix[matrix["trained_on"] == matrix["validated_on"]]
            table = conditions.merge(matrix, left_on="condition", right_on="validated_on")
            frames.append(table.assign(trained=trained))
            found = transfer.sufficient_rates(frame, conditions, matched=trained == "matched")
            rates.append(found.assign(trained=trained, classifier=self._wanted.curves_with))
        columns = ["codec", "condition", "setting", "bpp", "psnr", "ms_ssim", "trained", "accuracy", "low", "high"]
        base = original[(original["validated_on"] == ORIGINAL)]
        baseline = accuracy.accuracy_matrix(base).assign(
            codec=ORIGINAL, condition=ORIGINAL, bpp=24.0, trained="original"
        )
        curves = pd.concat([*frames, baseline], ignore_index=True).reindex(columns=columns)
        return {
            "accuracy_curves": curves,
            "accuracy_rates": pd.concat(rates, ignore_index=True),
            "accuracy_measures": transfer.rank_correlations(original, self._measures(points), points),
        }

    def _measures(self, conditions: Sequence[str]) -> dict[str, dict[str, Floats]]:
        """Measure → condition → its value for each image, in the order of the images' names."""
        config = self.config(self._wanted.curves_with)
        sets = self.sets((ORIGINAL, *conditions), config)
        order = np.argsort(sets[ORIGINAL].names)
        found: dict[str, dict[str, Floats]] = {"bpp": {}, "PSNR": {}, "MS-SSIM": {}}
        for name in conditions:
            coded = sets[name]
            found["bpp"][name], found["PSNR"][name] = coded.bpp[order], coded.psnr[order]
            found["MS-SSIM"][name] = self._ms_ssim(coded, sets[ORIGINAL])[order]
            if coded.features is not None:
                found.setdefault("feature distance", {})[name] = _cosine_distance(coded, sets[ORIGINAL])[order]
        return {name: of for name, of in found.items() if all(np.isfinite(v).all() for v in of.values())}

    def _ms_ssim(self, coded: CodedSet, original: CodedSet) -> Floats:
        """Of what the classifier sees, (images,); nan for crops below 161 pixels."""
        path = self.folder / "measures" / f"ms-ssim-{digest(coded.digest, original.digest, length=16)}.npy"
        if not path.exists():
            found = [quality.ms_ssim(a, b) for a, b in zip(original.images, coded.images, strict=True)]
            with atomic(path) as temporary:
                np.save(temporary, found)
        return np.asarray(np.load(path), np.float64)


def _plain(conditions: Iterable[str]) -> dict[str, Column]:
    """A column for each condition, trained on it alone."""
    return {name: Column((name,)) for name in conditions}


def _task(condition: str) -> str:
    """The same files, decoded by the synthesis head: "mbt2018 0.02bpp" → "mbt2018-task 0.02bpp"."""
    kind, _, value = condition.partition(" ")
    return f"{kind}{TASK_SUFFIX} {value}"


def _cosine_distance(coded: CodedSet, original: CodedSet) -> Floats:
    assert coded.features is not None
    assert original.features is not None
    a, b = coded.features.astype(np.float64), original.features.astype(np.float64)
    return 1 - (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def main(arguments: Sequence[str] | None = None) -> None:
    """The program of this module."""
    parser = argparse.ArgumentParser(prog="python -m satstudy.study.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("profile")
    parser.add_argument("--list", action="store_true", help="print the names of the jobs and do nothing")
    parser.add_argument("--only", default="", metavar="TEXT", help="do only jobs whose name contains TEXT")
    given = parser.parse_args(arguments)
    with told_at_the_end():
        for name, work in Classification(open_study(given.profile)).jobs():
            if given.only in name:
                print(name, flush=True)
                if not given.list:
                    work()


if __name__ == "__main__":
    main()
