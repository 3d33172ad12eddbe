"""One crop of an image coded by several codecs in equally many bytes: what the eye compares."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from satstudy.codecs import Codec, registry
from satstudy.codecs.base import closest_rate
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core.types import Pixels
from satstudy.study.experiments import detailed_crop, example_codings

#: Settings among which the one with the nearest size is searched for; other codecs take a rate, of about the same size.
QUALITIES: dict[str, Sequence[int]] = {"jpeg": range(1, 101), "avif": range(101)}

OTHERS = ("jpeg", "jpeg2000", "avif")


def equal_bytes(
    name: str, image: Pixels, learned: LearnedCodec, side: int = 320, others: Sequence[str] = OTHERS
) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """The most detailed crop of an image, as each codec leaves it at the size of the learned codec's file.

    Parameters
    ----------
    name : of the image, for the caption
    learned : its file sets the size; the others take the setting whose file is nearest
    side : of the crop in pixels; rate and PSNR are those of the whole image

    Returns
    -------
    tuple
        Pictures (`original`, and one for each codec), and facts for `figures_images.coded_pictures`
    """
    size = len(learned.encode(image))
    bpp = 8 * size / image[..., 0].size
    codecs = [*(_of_size(other, image, size, bpp) for other in others), learned]
    side = min(side, *image.shape[:2])
    top, left = detailed_crop(image, side)
    coded = example_codings(image, codecs, top, left, side)
    pictures = {"original": image[top : top + side, left : left + side]}
    pictures |= {codec: crop for codec, crop, *_ in coded}
    return pictures, {
        "image": name,
        "learned": f"{learned.setting}, weights {learned.fingerprint.hex()}",
        "coded": [(codec, codec, *rest) for codec, _, *rest in coded],
    }


def _of_size(name: str, image: Pixels, size: int, bpp: float) -> Codec:
    entry = registry.find(name)
    settings: Sequence[float] = QUALITIES.get(name) or [bpp * percent / 100 for percent in range(60, 161)]

    @functools.cache
    def encoded(index: int) -> int:
        return len(entry.make(settings[index]).encode(image))

    return entry.make(settings[closest_rate(encoded, len(settings), size)])
