"""Data sets: reading images, scanning folders and fMoW trees, drawing splits, fetching fMoW, packing."""

from satstudy.data.images import find_images, image_size, read_image, write_image
from satstudy.data.records import Box, ImageRecord, ScanResult
from satstudy.data.splits import read_manifest, write_manifest

__all__ = [
    "Box",
    "ImageRecord",
    "ScanResult",
    "find_images",
    "image_size",
    "read_image",
    "read_manifest",
    "write_image",
    "write_manifest",
]
