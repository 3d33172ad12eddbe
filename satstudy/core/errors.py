"""The errors of the package: bad input (the command exits with 2) and every other failure (1)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


class SatstudyError(Exception):
    """A failure. The message is one sentence with the remedy."""


class InputError(SatstudyError, ValueError):
    """Input that cannot be used: a file, a size, a parameter."""


class DamagedFile(InputError):
    """A compressed file that is truncated, altered or of another format. Nothing is decoded from it."""


class WrongWeights(InputError):
    """A compressed file that was made with other weights than those at hand."""


@contextlib.contextmanager
def told_at_the_end() -> Iterator[None]:
    """Within a program, an error of the package is one line on standard error and the exit status.

    >>> with told_at_the_end():
    ...     raise InputError("There is no such profile.")
    Traceback (most recent call last):
    SystemExit: 2
    """
    try:
        yield
    except SatstudyError as error:
        print(f"satstudy: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, InputError) else 1) from None
