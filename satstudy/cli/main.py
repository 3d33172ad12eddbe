"""The `satstudy` command.

Errors go to standard error as one sentence; exit status 2 for bad input, 1 for a failure.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence

from satstudy.cli.arguments import parser
from satstudy.cli.files import compress, decompress, info
from satstudy.cli.study import check, fetch, pack, rd, synth, train, unpack, weights
from satstudy.core.errors import InputError, SatstudyError

#: By what stands on the command line.
COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "compress": compress,
    "decompress": decompress,
    "info": info,
    "rd": rd,
    "weights": weights,
    "train": train,
    "synth": synth,
    "check": check,
    "fmow": fetch,
    "pack": pack,
    "unpack": unpack,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.jit")
            parsed = parser().parse_args(arguments)
            return COMMANDS[parsed.run](parsed)
    except InputError as error:
        return _say(error, 2)
    except SatstudyError as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say("stopped; no half-written file is left.", 130)
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _say(f"{error.strerror or error}{where}: check the disk and your rights.", 1)
    except (MemoryError, RuntimeError) as error:
        # PyTorch says so in words only, on any device.
        if isinstance(error, MemoryError) or re.search("out of memory|allocate memory", str(error)):
            return _say("this machine has too little memory for that: decode a window, or take smaller patches.", 1)
        raise


def _say(problem: object, status: int) -> int:
    text = " ".join(str(problem).split())  # foreign errors have lines
    print(f"satstudy: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
