"""The learned codecs in the list of codecs. PyTorch is imported when one of them is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from satstudy.codecs.registry import CodecEntry, Learned, PlotStyle, register

if TYPE_CHECKING:
    from satstudy.codecs.learned.checkpoint import Checkpoint
    from satstudy.codecs.learned.codec import LearnedCodec

#: λ of the weights that ship.
LADDER = (0.0001, 0.0008, 0.0025, 0.0067, 0.013, 0.045)


def _make(weights: Checkpoint, **options: Any) -> LearnedCodec:
    from satstudy.codecs.learned.codec import LearnedCodec

    return LearnedCodec(weights, **options)


register(
    CodecEntry(
        "learned",
        "learned",
        setting="lam",
        ladder=LADDER,
        factory=_make,
        number=float,
        style=PlotStyle("blue", "o"),
        learned=Learned("overhead"),
    )
)
register(
    CodecEntry(
        "learned-natural",
        "learned (natural)",
        setting="lam",
        ladder=LADDER,
        factory=_make,
        number=float,
        style=PlotStyle("sky", "o", (0, (3, 1)), hollow=True),
        learned=Learned("natural"),
    )
)
register(
    CodecEntry(
        "learned-refined",
        "learned, refined",
        setting="lam",
        ladder=LADDER,
        factory=_make,
        number=float,
        style=PlotStyle("black", "P", (0, (6, 2))),
        learned=Learned("overhead", refined=True),
    )
)
