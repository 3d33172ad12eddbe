"""Learned compression for satellite imagery, and what it does to the classifiers that read the images."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("satstudy")
except PackageNotFoundError:  # run from a folder that was never installed
    __version__ = "0"
