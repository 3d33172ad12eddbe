"""The entries of the learned codecs. PyTorch is imported when one of them is made."""

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


for _name, _label, _learned, _style in (
    ("learned", "learned", Learned("overhead"), PlotStyle("blue", "o")),
    ("learned-natural", "learned (natural)", Learned("natural"), PlotStyle("sky", "o", (0, (3, 1)), hollow=True)),
    ("learned-refined", "learned, refined", Learned("overhead", refined=True), PlotStyle("black", "P", (0, (6, 2)))),
):
    register(
        CodecEntry(_name, _label, setting="lam", ladder=LADDER, factory=_make, number=float, style=_style,
                   learned=_learned)
    )  # fmt: skip
