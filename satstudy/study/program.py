"""Programs that write tables of a profile's results: `python -m satstudy.study.domain PROFILE` and its like."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from satstudy.core.errors import told_at_the_end
from satstudy.core.paths import atomic
from satstudy.study.study import Study, open_study


def write_tables(
    module: str,
    description: str,
    tables: Callable[[Study], Mapping[str, pd.DataFrame]],
    arguments: Sequence[str] | None = None,
) -> None:
    """Write what `tables` makes of a study, a CSV for each name, among the results of its profile.

    Parameters
    ----------
    module : `domain`, as the program is called
    description : docstring of the module, whose first line stands in the help
    arguments : those of the program by default
    """
    parser = argparse.ArgumentParser(prog=f"python -m satstudy.study.{module}", description=description.split("\n")[0])
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    with told_at_the_end():
        study = open_study(given.profile)
        for name, table in tables(study).items():
            path = study.results / f"{name}.csv"
            with atomic(path) as temporary:
                table.to_csv(temporary, index=False)
            print(path)
