"""Crops for the eye, chosen by rules: what the codecs make of one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from satstudy.cli.coding import closest
from satstudy.codecs import JPEG, Codec
from satstudy.data.images import Pixels, read_image
from satstudy.data.manifests import subset
from satstudy.metrics.quality import bpp, psnr
from satstudy.report.labels import codec_name
from satstudy.study.study import Study


def detailed_crop(image: Pixels, side: int) -> tuple[int, int]:
    """Top and left of the square with the most detail, by the variance of its luminance: a rule, not a choice."""
    luminance = image.astype(np.float32).mean(axis=2)
    best, place = -1.0, (0, 0)
    for top in range(0, max(1, image.shape[0] - side + 1), max(1, side // 2)):
        for left in range(0, max(1, image.shape[1] - side + 1), max(1, side // 2)):
            value = float(luminance[top : top + side, left : left + side].var())
            if value > best:
                best, place = value, (top, left)
    return place


def example_codings(
    image: Pixels, codecs: Sequence[Codec], top: int, left: int, side: int
) -> list[tuple[str, Pixels, float, float]]:
    """(label, crop, bpp, PSNR of the whole image) of each codec: the pictures of Fig. 5."""
    made = []
    for codec in codecs:
        data = codec.encode(image)
        decoded = codec.decode(data)
        crop = decoded[top : top + side, left : left + side]
        made.append((codec_name(codec.name), crop, bpp(len(data), *image.shape[:2]), psnr(image, decoded)))
    return made


def rate_crops(study: Study, count: int = 4, side: int = 160) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """What `figures.kept_crops` draws: the most detailed crop of an image of middling detail, at `count` rates.

    The learned codec over its ladder, and JPEG at the qualities whose files are nearest to these in size. Of the first
    image of each category, the one whose variance is the median: a rule, not a choice.
    """
    firsts = subset(study.manifest, "val-compress").drop_duplicates("category")["path"]
    ranked = sorted((float(read_image(study.root / name).mean(axis=2).var()), name) for name in firsts)
    path = study.root / ranked[len(ranked) // 2][1]
    image = read_image(path)
    side = min(side, *image.shape[:2])
    top, left = detailed_crop(image, side)
    lams = sorted(study.profile.train.lams)
    # From the lowest rate up, over the whole ladder.
    some = [lams[round(i)] for i in np.linspace(0, len(lams) - 1, min(count, len(lams)))]
    coded = example_codings(image, [study.learned(lam) for lam in some], top, left, side)
    like = [_jpeg_of_size(image, rate * image[..., 0].size / 8) for _, _, rate, _ in coded]
    coded += example_codings(image, like, top, left, side)
    crops = {"original": image[top : top + side, left : left + side]}
    crops |= {f"{label} {i}": crop for i, (label, crop, *_) in enumerate(coded)}
    return crops, {"image": path.name, "coded": [(label, *rest) for label, _, *rest in coded]}


def _jpeg_of_size(image: Pixels, size: float) -> JPEG:
    """JPEG at the quality whose file is nearest to `size` bytes."""
    return JPEG(1 + closest(lambda index: len(JPEG(1 + index).encode(image)), 100, size))
