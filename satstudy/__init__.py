"""Learned compression for satellite imagery, and what it does to the classifiers that read the images."""

import os
from importlib.metadata import PackageNotFoundError, version

# Threads that wait for work by spinning slow each other down several times over where cores are shared, and
# threads that sleep at once are slow to wake. A short spin costs a few percent on an idle machine and saves a
# quarter to a half of the time on a busy one. OpenMP (GNU's, in PyTorch) reads this once, at PyTorch's import.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

try:
    __version__ = version("satstudy")
except PackageNotFoundError:  # run from a folder that was never installed
    __version__ = "0"
