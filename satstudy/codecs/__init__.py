"""The codecs of the study behind one protocol: name, setting, encode, decode; `registry` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Each of these modules registers its codecs. Figures and legends have them in this order.
# isort: off
from satstudy.codecs.registry import Codec
from satstudy.codecs.jpeg import JPEG
from satstudy.codecs.jpeg2000 import JPEG2000
from satstudy.codecs.webp_avif import AVIF, WebP
from satstudy.codecs.hevc_vvc import HEVC, VVC
from satstudy.codecs.jpegxl_htj2k_jpegls import HTJ2K, JPEGLS, JPEGXL
import satstudy.codecs.learned.entries
# isort: on

if TYPE_CHECKING:
    from satstudy.codecs.learned.codec import LearnedCodec

__all__ = ["AVIF", "HEVC", "HTJ2K", "JPEG", "JPEG2000", "JPEGLS", "JPEGXL", "VVC", "Codec", "LearnedCodec", "WebP"]


def __getattr__(name: str) -> Any:
    # The learned codec imports PyTorch, which takes seconds; the others do without it.
    if name == "LearnedCodec":
        from satstudy.codecs.learned.codec import LearnedCodec

        return LearnedCodec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
