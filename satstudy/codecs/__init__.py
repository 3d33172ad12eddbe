"""The codecs of the study behind one protocol: name, setting, encode, decode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from satstudy.codecs.base import Codec
from satstudy.codecs.jpeg import JPEG
from satstudy.codecs.jpeg2000 import JPEG2000
from satstudy.codecs.webp_avif import AVIF, WebP
from satstudy.core.errors import InputError

if TYPE_CHECKING:
    from satstudy.codecs.learned.codec import LearnedCodec

__all__ = ["AVIF", "JPEG", "JPEG2000", "Codec", "LearnedCodec", "WebP", "ladder"]


def __getattr__(name: str) -> Any:
    # The learned codec imports PyTorch, which takes seconds; the others do without it.
    if name == "LearnedCodec":
        from satstudy.codecs.learned.codec import LearnedCodec

        return LearnedCodec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def ladder(name: str) -> list[Codec]:
    """Eight or so settings of a classical codec, evenly along 0.06–2.5 bpp of overhead imagery.

    Raises
    ------
    InputError
        A name other than jpeg, jpeg2000, webp or avif.
    """
    match name:
        case "jpeg":
            return [JPEG(q) for q in (4, 8, 15, 30, 50, 70, 85, 92)]
        case "jpeg2000":
            return [JPEG2000(bpp=rate) for rate in (0.06, 0.12, 0.25, 0.5, 0.75, 1, 1.5, 2)]
        case "webp":
            return [WebP(q) for q in (0, 10, 30, 50, 70, 85, 92)]
        case "avif":
            return [AVIF(q) for q in (3, 10, 20, 35, 50, 62, 75)]
    raise InputError(f"There is no classical codec {name!r}: take jpeg, jpeg2000, webp or avif.")
