"""Execute one notebook with papermill; on failure say which notebook, cell and error, and keep what ran.

Usage: run_notebook.py NOTEBOOK OUTPUT [name=value …]
"""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path

import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from satstudy.paths import atomic


def main() -> int:
    notebook, output = Path(sys.argv[1]), Path(sys.argv[2])
    parameters = {}
    for argument in sys.argv[3:]:
        name, _, value = argument.partition("=")
        parameters[name] = yaml.safe_load(value)
    failed = output.parent / "failed" / output.name
    with atomic(output) as temporary:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                papermill.execute_notebook(
                    str(notebook),
                    str(temporary),
                    parameters,
                    progress_bar=False,
                    log_output=False,
                    cwd=str(output.parent),
                )
        except PapermillExecutionError as error:
            failed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(temporary, failed)
            print(
                f"{notebook.name} stopped at cell {error.exec_count}: {error.ename}: {error.evalue}\n"
                f"What ran is kept in {failed}.",
                file=sys.stderr,
            )
            return 1
    failed.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
