"""What can go wrong, in two kinds: the caller's input, and everything else."""


class SatstudyError(Exception):
    """A failure that the message explains in one sentence, with the remedy."""


class InputError(SatstudyError, ValueError):
    """Something that was handed in is unusable: a file, a size, a parameter. The command exits with 2."""


class DamagedFile(InputError):
    """A compressed file is truncated, altered or not one of ours. Nothing is decoded from it."""


class WrongWeights(InputError):
    """A compressed file was made with other weights than those at hand."""
