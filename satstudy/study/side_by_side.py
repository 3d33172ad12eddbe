"""One crop of an image coded by several codecs in equally many bytes: what the eye compares."""

from __future__ import annotations

from typing import Any

from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core.types import Pixels
from satstudy.study.experiments import cropped, detailed_crop
from satstudy.study.one_image import coded, of_size

OTHERS = ("jpeg", "jpeg2000", "avif")


def equal_bytes(
    name: str, image: Pixels, learned: LearnedCodec, side: int = 320
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
    own = coded(learned, image)
    codings = [*(of_size(other, image, len(own.data)) for other in OTHERS), own]
    side = min(side, *image.shape[:2])
    top, left = detailed_crop(image, side)
    found = cropped(image, codings, top, left, side)
    pictures = {"original": image[top : top + side, left : left + side]}
    pictures |= {codec: crop for codec, crop, *_ in found}
    return pictures, {
        "image": name,
        "learned": f"{learned.setting}, weights {learned.fingerprint.hex()}",
        "coded": [(codec, codec, *rest) for codec, _, *rest in found],
    }
