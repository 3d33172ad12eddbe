"""Learned compression for satellite imagery, and what it does to the classifiers that read the images."""

import os

# Threads that wait for work by spinning slow each other down several times over where cores are shared, and
# threads that sleep at once are slow to wake. A short spin costs a few percent on an idle machine and saves a
# quarter to a half of the time on a busy one. OpenMP (GNU's, in PyTorch) reads this once, at PyTorch's import.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def __getattr__(name: str) -> str:
    # Looking up the version of an installed package takes a fifth of a second.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("satstudy")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "0"
