"""The errors of the package: bad input (the command exits with 2) and every other failure (1)."""


class SatstudyError(Exception):
    """A failure. The message is one sentence with the remedy."""


class InputError(SatstudyError, ValueError):
    """Input that cannot be used: a file, a size, a parameter."""


class DamagedFile(InputError):
    """A compressed file that is truncated, altered or of another format. Nothing is decoded from it."""


class WrongWeights(InputError):
    """A compressed file that was made with other weights than those at hand."""
