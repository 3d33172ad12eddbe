"""One classifier of the accuracy matrix, so that a cluster trains them side by side; the notebook finds its answers.

Usage: classifier.py profile=NAME [object|image CONDITION SEED]

CONDITION counts the profile's `accuracy.train_on` from 0. Without a classifier the coded images of all are made.
"""

from __future__ import annotations

import sys

from satstudy.study.experiments import classifiers
from satstudy.study.study import open_study


def main() -> None:
    study = open_study(sys.argv[1].removeprefix("profile="))
    if sys.argv[2:]:
        level, condition, seed = sys.argv[2:]
        classifiers(study, level, [study.profile.accuracy.train_on[int(condition)]], [int(seed)])
    else:
        for level in ("object", "image") if study.profile.accuracy.leakage else ("object",):
            classifiers(study, level, study.profile.accuracy.train_on, [])


if __name__ == "__main__":
    main()
