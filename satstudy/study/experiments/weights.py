"""The weights of a study, and how their training went."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from satstudy.codecs.learned.checkpoint import OVERHEAD, Checkpoint
from satstudy.study.study import Study


def checkpoints(study: Study, lams: Sequence[float], domains: Sequence[str] = (OVERHEAD,)) -> list[Checkpoint]:
    """The weights of the study, in order."""
    return [study.weights(lam, domain) for domain in domains for lam in lams]


def training_metrics(study: Study, lams: Sequence[float], domain: str = OVERHEAD) -> dict[str, pd.DataFrame]:
    """λ → the run's metrics, for those that this study has trained."""
    found = {}
    for lam in lams:
        path = study.training_folder(lam, domain) / "metrics.csv"
        if path.exists():
            found[f"λ={lam:g}"] = pd.read_csv(path)
    return found
