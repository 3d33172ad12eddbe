"""The classifiers of a study: the matrix, what may explain the paper's, what helps, and which rates suffice.

Run as a program it computes, one job after another, all that the page of a profile needs:

    python -m satstudy.study.accuracy reference-accuracy --list
    python -m satstudy.study.accuracy reference-accuracy --only "train scratch"

A job is a set of coded images or one classifier. Jobs of different names can run side by side.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from satstudy.classification.coded_images import CodedSet, conditions_frame
from satstudy.classification.cross_validation import Column, CrossValidation
from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.settings import build
from satstudy.core.types import Floats
from satstudy.metrics import transfer
from satstudy.metrics.accuracy import accuracy_matrix
from satstudy.report import paper
from satstudy.study.conditions import ORIGINAL, Conditions
from satstudy.study.profiles import Accuracy
from satstudy.study.study import open_study

#: A condition stands for one of the paper if its rate is within this ratio of the paper's.
NEAR = 1.25


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

        >>> Hypothesis(before="jpeg 75", after="swap").rewrite("learned 0.67bpp")
        'jpeg 75 | learned 0.67bpp | swap'
        """
        after = self.after if condition.startswith("learned") else ""
        steps = [part for part in (self.before, condition, after) if part]
        return " | ".join([part for part in steps if part != ORIGINAL] or [ORIGINAL])


def paper_condition(condition: paper.PaperCondition) -> str:
    """What a condition of the paper's Table 2 is called here: "learned 0.67bpp"."""
    return ORIGINAL if condition.codec == ORIGINAL else f"{condition.codec} {condition.bpp:g}bpp"


class Run(NamedTuple):
    """Some columns and rows of one classifier's matrix."""

    classifier: str
    columns: Mapping[str, Column]
    rows: list[str]
    by_image: bool = False  #: divide images into folds and not objects


@dataclass
class Classification(Conditions):
    """The classifiers of a study on its images; trained when asked for, and kept in `folder`."""

    # --- What the profile asks for ----------------------------------------------------------------------

    def hypotheses(self) -> dict[str, Hypothesis]:
        where = f"{self.study.profile.name}.accuracy.hypotheses"
        wanted = self._wanted.hypotheses
        return {name: build(Hypothesis, dict(value or {}), f"{where}.{name}") for name, value in wanted.items()}

    def remedies(self, classifier: str) -> dict[str, Column]:
        """The columns of the profile's remedies; a frozen network takes only those that are whole sets of images."""
        where = f"{self.study.profile.name}.accuracy.remedies"
        wanted = self._wanted.remedies
        columns: dict[str, Column] = {ORIGINAL: Column((ORIGINAL,))}
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
        conditions = [condition for column in run.columns.values() for condition in column.conditions]
        sets = self.sets((*conditions, *run.rows), config)
        folder = self.folder / "networks"
        return CrossValidation(config, sets, run.columns, folder, run.by_image, progress=self.study.progress)

    def answers(self, run: Run) -> pd.DataFrame:
        """The predictions frame of a run."""
        return self.cross_validation(run).predictions(run.rows)

    def _available(self, conditions: Sequence[str]) -> list[str]:
        return [condition for condition in conditions if self.available(condition)]

    def _matrix_columns(self) -> dict[str, Column]:
        return {name: Column((name,)) for name in self._available(self._wanted.train_on)}

    @property
    def rows(self) -> list[str]:
        """The conditions that the matrix validates on."""
        return self._available(self._wanted.validate_on)

    def missing(self) -> list[str]:
        """Conditions of the profile that cannot be measured here."""
        wanted = self._wanted
        return [c for c in dict.fromkeys((*wanted.train_on, *wanted.validate_on)) if not self.available(c)]

    def predictions(self, classifier: str, by_image: bool = False) -> pd.DataFrame:
        """The answers in every cell of the matrix."""
        return self.answers(Run(classifier, self._matrix_columns(), self.rows, by_image))

    def matrix(self) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
        """The matrix of every classifier of `matrix_of`, and their predictions.

        Returns
        -------
        matrix : classifier, trained_on, validated_on, accuracy, low, high, seeds, images, objects, and the paired
            difference to the own condition of the column: difference, difference_low, difference_high
        predictions : classifier → its predictions frame
        """
        predictions = {name: self.predictions(name) for name in self._wanted.matrix_of}
        frames = []
        for name, frame in predictions.items():
            both = accuracy_matrix(frame).merge(transfer.against_own(frame), on=["trained_on", "validated_on"])
            frames.append(both.assign(classifier=name))
        matrix = pd.concat(frames, ignore_index=True)
        return matrix[["classifier", *(c for c in matrix.columns if c != "classifier")]], predictions

    def conditions(self, names: Sequence[str]) -> pd.DataFrame:
        """condition, codec, setting, bpp, psnr, ms_ssim of the sets, and the paper's condition each stands for."""
        frame = conditions_frame([self.coded(name) for name in names])
        return frame.assign(paper=[counterpart(c, b) for c, b in zip(frame["codec"], frame["bpp"], strict=True)])

    # --- Experiments ------------------------------------------------------------------------------------

    def _hypothesis_runs(self) -> Iterator[tuple[str, Run, dict[str, str]]]:
        """The name of each hypothesis, a matrix under it, and what the paper calls its conditions."""
        columns = self._available([paper_condition(r) for r in paper.TABLE_2_TRAINED])
        rows = self._available([paper_condition(r) for r in paper.TABLE_2_VALIDATED])
        for name, hypothesis in self.hypotheses().items():
            classifiers = (hypothesis.classifier,) if hypothesis.classifier else self._wanted.hypotheses_with
            for classifier in classifiers:
                trained = {new: Column((new,)) for new in map(hypothesis.rewrite, columns)}
                back = {hypothesis.rewrite(old): old for old in rows}
                yield name, Run(classifier, trained, list(back)), back

    def hypothesis_frames(self) -> dict[tuple[str, str], pd.DataFrame]:
        """(hypothesis, classifier) → predictions under the paper's names of conditions."""
        return {
            (name, run.classifier): self.answers(run).replace({"trained_on": back, "validated_on": back})
            for name, run, back in self._hypothesis_runs()
        }

    def compare_hypotheses(self) -> pd.DataFrame:
        """Distance of each hypothesis to the pattern of the paper's Table 2, by classifier.

        Returns
        -------
        DataFrame
            As `transfer.compare_patterns`, with classifier; the first hypothesis of the profile is the base.
        """
        frames = self.hypothesis_frames()
        if not frames:
            return pd.DataFrame()
        table = paper.paper_table_2()
        table.index = pd.Index([paper_condition(r) for r in paper.TABLE_2_VALIDATED])
        table.columns = pd.Index([paper_condition(r) for r in paper.TABLE_2_TRAINED])
        base = next(iter(self.hypotheses()))
        classes = len({record.category for record in self.records})
        parts = []
        for classifier in self._wanted.hypotheses_with:
            # One that is tested with a classifier of its own stands beside the others of each.
            own = {
                name if used == classifier else f"{name} ({used})": frame
                for (name, used), frame in frames.items()
                if used == classifier or self.hypotheses()[name].classifier
            }
            compared = transfer.compare_patterns(own, table, 1 / classes, 1 / paper.CLASSES, base)
            parts.append(compared.assign(classifier=classifier))
        return pd.concat(parts, ignore_index=True)

    def compare_remedies(self) -> pd.DataFrame:
        """Worst row of each remedy, by classifier: as `transfer.worst_rows`, with classifier."""
        parts = []
        for classifier in self._wanted.remedies_with:
            rows = self._remedy_rows()
            frame = self.answers(Run(classifier, self._matrix_columns() | self.remedies(classifier), rows))
            parts.append(transfer.worst_rows(frame, rows, ORIGINAL).assign(classifier=classifier))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _remedy_rows(self) -> list[str]:
        return self._available(self._wanted.remedy_rows) or self.rows

    def compare_heads(self) -> pd.DataFrame:
        """What a synthesis head for the task changes, for classifiers trained on uncompressed images.

        Returns
        -------
        DataFrame
            classifier, condition, bpp, psnr, psnr_task, accuracy, accuracy_task, gain, low, high
        """
        wanted, rows = self._wanted, []
        conditions = list(wanted.head_rows)
        tasks = [_task(condition) for condition in conditions]
        for classifier in wanted.heads_with if conditions else ():
            frame = self.answers(Run(classifier, {ORIGINAL: Column((ORIGINAL,))}, conditions + tasks))
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

    def curves(self) -> dict[str, pd.DataFrame]:
        """Accuracy against rate, of classifiers trained on uncompressed images and of those trained on the condition.

        Returns
        -------
        dict
            `curves`: codec, condition, setting, bpp, psnr, ms_ssim, trained ("original" or "matched"), accuracy, low,
            high; `rates`: of `transfer.sufficient_rates` with trained; `measures`: of `transfer.rank_correlations`;
            `classes`: trained_on, validated_on, label, accuracy, images
        """
        wanted = self._wanted
        points = self._available(wanted.curves)
        if not points:
            return {}
        every = [ORIGINAL, *points]
        original = self.answers(Run(wanted.curves_with, {ORIGINAL: Column((ORIGINAL,))}, every))
        # The matrix of all pairs would be many times as many answers.
        own = [self.answers(Run(wanted.curves_with, {name: Column((name,))}, [name])) for name in points]
        matched = pd.concat(own, ignore_index=True)
        conditions = self.conditions(points)
        frames, rates = [], []
        for trained, frame in (("original", original), ("matched", pd.concat([matched, original]))):
            matrix = accuracy_matrix(frame)
            if trained == "matched":
                matrix = matrix[matrix["trained_on"] == matrix["validated_on"]]
            table = conditions.merge(matrix, left_on="condition", right_on="validated_on")
            frames.append(table.assign(trained=trained))
            found = transfer.sufficient_rates(frame, conditions, matched=trained == "matched")
            rates.append(found.assign(trained=trained))
        columns = ["codec", "condition", "setting", "bpp", "psnr", "ms_ssim", "trained", "accuracy", "low", "high"]
        base = original[(original["validated_on"] == ORIGINAL)]
        baseline = accuracy_matrix(base).assign(codec=ORIGINAL, condition=ORIGINAL, bpp=24.0, trained="original")
        curves = pd.concat([*frames, baseline], ignore_index=True).reindex(columns=columns)
        return {
            "curves": curves,
            "rates": pd.concat(rates, ignore_index=True),
            "measures": transfer.rank_correlations(original, self._measures(points), points),
            "classes": transfer.class_accuracies(original),
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
            found["MS-SSIM"][name] = coded.ms_ssim[order]
            if coded.features is not None:
                found.setdefault("feature distance", {})[name] = _cosine_distance(coded, sets[ORIGINAL])[order]
        return {name: of for name, of in found.items() if all(np.isfinite(v).all() for v in of.values())}

    # --- Jobs -------------------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """All matrices of which networks have to be trained, or whose images have to be coded."""
        wanted = self._wanted
        runs = [Run(name, self._matrix_columns(), self.rows) for name in wanted.matrix_of]
        runs += [run for _, run, _ in self._hypothesis_runs()]
        runs += [Run(name, self.remedies(name), self._remedy_rows()) for name in wanted.remedies_with]
        tasks = [name for condition in wanted.head_rows for name in (condition, _task(condition))]
        runs += [Run(name, {ORIGINAL: Column((ORIGINAL,))}, tasks) for name in wanted.heads_with]
        if wanted.curves:
            runs.append(Run(wanted.curves_with, {ORIGINAL: Column((ORIGINAL,))}, self._available(wanted.curves)))
        return runs

    def jobs(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """(name, what to do) of all that the page needs: sets of coded images first, then one job a classifier."""
        runs = self.runs()
        conditions = [c for run in runs for c in (*(c for k in run.columns.values() for c in k.conditions), *run.rows)]
        for condition in dict.fromkeys(conditions):
            yield f"code {condition}", functools.partial(self.coded, condition)
        trained = {}
        for run in runs:
            config = self.config(run.classifier)
            rounds = itertools.product(run.columns, range(config.seeds), range(config.folds))
            for column, seed, fold in [] if config.frozen else rounds:
                name = f"train {run.classifier} on {column}, seed {seed}, fold {fold}"
                trained[name] = functools.partial(self._train, run, (column, seed, fold))
        yield from trained.items()

    def _train(self, run: Run, job: tuple[str, int, int]) -> None:
        self.cross_validation(run).train([job])


def _task(condition: str) -> str:
    """The same files, decoded by the synthesis head: "learned 0.02bpp" → "learned-task 0.02bpp"."""
    kind, _, value = condition.partition(" ")
    return f"{kind}-task {value}"


def _cosine_distance(coded: CodedSet, original: CodedSet) -> Floats:
    assert coded.features is not None
    assert original.features is not None
    a, b = coded.features.astype(np.float64), original.features.astype(np.float64)
    return 1 - (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def counterpart(codec: str, bpp: float) -> str:
    """The condition of the paper's Table 2 of the same codec whose rate is within `NEAR`; empty if there is none.

    >>> counterpart("jpeg", 0.8), counterpart("jpeg", 0.5)
    ('JPEG 0.77 bpp', '')
    """
    ratios = {r.name: max(r.bpp / bpp, bpp / r.bpp) for r in paper.TABLE_2_VALIDATED if r.codec == codec}
    best = min(ratios, key=lambda name: ratios[name], default="")
    return best if best and ratios[best] <= NEAR else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """The program of this module."""
    parser = argparse.ArgumentParser(prog="python -m satstudy.study.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("profile")
    parser.add_argument("--list", action="store_true", help="print the names of the jobs and do nothing")
    parser.add_argument("--only", default="", metavar="TEXT", help="do only jobs whose name contains TEXT")
    given = parser.parse_args(arguments)
    try:
        for name, work in Classification(open_study(given.profile)).jobs():
            if given.only in name:
                print(name, flush=True)
                if not given.list:
                    work()
    except SatstudyError as error:
        print(f"satstudy: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, InputError) else 1) from None


if __name__ == "__main__":
    main()
