"""The errors of the package: bad input (the command exits with 2) and every other failure (1)."""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
from collections.abc import Iterable, Iterator


class SatstudyError(Exception):
    """A failure. The message is one sentence with the remedy."""


class InputError(SatstudyError, ValueError):
    """Input that cannot be used: a file, a size, a parameter."""


class DamagedFile(InputError):
    """A compressed file that is truncated, altered or of another format. Nothing is decoded from it."""


class WrongWeights(InputError):
    """A compressed file that was made with other weights than those at hand."""


def similar(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to a mistyped one, if one is."""
    return next(iter(difflib.get_close_matches(name, list(known), 1, 0.5)), None)


def choices(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, and all of them.

    >>> choices("avfi", ["jpeg", "avif"])
    'did you mean avif? There are jpeg, avif'
    >>> choices("x", ["jpeg", "avif"])
    'take one of jpeg, avif'
    """
    known = list(known)
    near = similar(name, known)
    return (f"did you mean {near}? There are " if near else "take one of ") + ", ".join(known)


def printable(text: object) -> str:
    r"""Text with names from elsewhere, whose control characters would steer a terminal or break a line.

    >>> printable("red\x1b[31m\n.png")
    'red\\x1b[31m\\n.png'
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], str(text))


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
