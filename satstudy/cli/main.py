"""The `satstudy` command.

Errors go to standard error as one sentence; exit status 2 for bad input, 1 for a failure, 130 or 143 when stopped.
"""

from __future__ import annotations

import argparse
import codecs
import errno
import importlib
import io
import os
import re
import signal
import sys
import threading
import unicodedata
import warnings
from collections.abc import Sequence
from typing import Any

from satstudy.cli.arguments import parser
from satstudy.core.errors import InputError, SatstudyError, printable

#: The module of each command, by what stands on the command line.
COMMANDS = {
    "compress": "files",
    "decompress": "files",
    "info": "files",
    "rd": "study",
    "weights": "study",
    "train": "study",
    "adapt": "study",
    "synth": "study",
    "check": "study",
    "fmow": "study",
    "pack": "study",
    "unpack": "study",
}
_FUNCTIONS = {"fmow": "fetch"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="satstudy")
    stop = _Stop()
    try:
        with stop, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.jit")
            if "" in (sys.argv[1:] if arguments is None else arguments):  # pathlib takes no name for the current folder
                raise InputError("an argument is empty, perhaps a variable of the shell that is not set: name a file.")
            return _run(parser().parse_args(arguments))
    except InputError as error:
        return _say(error, 2)
    except SatstudyError as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say("stopped; no half-written file is left.", 128 + stop.number)
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno == errno.ENAMETOOLONG:
            return _say(f"{error.strerror}{where}: shorten the name.", 2)
        return _say(f"{error.strerror or error}{where}: check the disk and your rights.", 1)
    except (MemoryError, RuntimeError) as error:
        # PyTorch says so in words only, on any device.
        if isinstance(error, MemoryError) or re.search("out of memory|allocate memory", str(error)):
            return _say("this machine has too little memory for that: decode a window, or take smaller patches.", 1)
        raise


def _run(parsed: argparse.Namespace) -> int:
    module = importlib.import_module(f"satstudy.cli.{COMMANDS[parsed.run]}")
    return int(getattr(module, _FUNCTIONS.get(parsed.run, parsed.run))(parsed))


class _Stop:
    """Within, SIGTERM stops the command as Ctrl-C does: temporary files are removed.

    Attributes
    ----------
    number : of the signal that came last
    """

    def __init__(self) -> None:
        self.number: int = signal.SIGINT

    def _note(self, number: int, frame: Any) -> None:
        self.number = number
        raise KeyboardInterrupt

    def __enter__(self) -> None:
        self._previous = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._note)

    def __exit__(self, *error: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)


def _say(problem: object, status: int) -> int:
    text = " ".join(str(problem).split())  # foreign errors have lines
    print(f"satstudy: {printable(text)}", file=sys.stderr)
    return status


_PLAIN = {"λ": "lambda", "×": "x", "−": "-", "–": "-", "…": "...", "“": '"', "”": '"', "’": "'"}


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Signs that an output's encoding does not have: a plain one, or for bytes of a name that are no text `\\xff`."""
    assert isinstance(error, UnicodeEncodeError)
    parts = []
    for sign in error.object[error.start : error.end]:
        byte = ord(sign) - 0xDC00  # how Python keeps such bytes (PEP 383)
        base = unicodedata.normalize("NFKD", sign)[0]
        parts.append(f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else _PLAIN.get(sign, base if base.isascii() else "?"))
    return "".join(parts), error.end


codecs.register_error("satstudy", _plain)


if __name__ == "__main__":
    sys.exit(main())
