"""Execute one notebook with papermill; on failure say which notebook, cell and error, and keep what ran.

Usage: run_notebook.py NOTEBOOK OUTPUT [name=value …]
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from satstudy.core.paths import atomic


def read_value(text: str) -> Any:
    """A parameter as YAML reads it, and 1e-05 as the number that YAML 1.1 does not see in it."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def main() -> int:
    notebook, output = Path(sys.argv[1]), Path(sys.argv[2])
    parameters = {}
    for argument in sys.argv[3:]:
        name, _, value = argument.partition("=")
        parameters[name] = read_value(value)
    failed = output.parent / "failed" / output.name
    failed.unlink(missing_ok=True)
    try:
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
                        # The kernel warns of its unencrypted port, which only this machine reaches.
                        extra_arguments=["--log-level=ERROR"],
                    )
            except BaseException:
                if temporary.stat().st_size:
                    failed.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(temporary, failed)
                raise
    except Exception as error:  # also a kernel that was killed, for instance for its memory
        what = f"stopped: {type(error).__name__}: {error}"
        if isinstance(error, PapermillExecutionError):
            line = next((line for line in error.source.splitlines() if line.strip()), "").strip()
            what = f"stopped at cell [{error.exec_count}] ({line}): {error.ename}: {error.evalue}"
        kept = f"\nWhat ran is kept in {failed}." if failed.exists() else ""
        print(f"{notebook.name} {what}{kept}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
