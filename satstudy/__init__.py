"""Learned compression for satellite imagery, and what it does to the classifiers that read the images."""

import os
from importlib.metadata import PackageNotFoundError, version

# Threads that wait for work by spinning slow each other down several times over where cores are shared,
# and gain next to nothing where they are not. OpenMP reads this once, when PyTorch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    __version__ = version("satstudy")
except PackageNotFoundError:  # run from a folder that was never installed
    __version__ = "0"
