"""The entries of the learned codecs. PyTorch is imported when one of them is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from satstudy.codecs.registry import CodecEntry, Learned, PlotStyle, register

if TYPE_CHECKING:
    from satstudy.codecs.learned.checkpoint import Checkpoint
    from satstudy.codecs.learned.codec import LearnedCodec

#: λ that the weights of mbt2018 ship for, and the default ladder of the codec whose weights serve every λ.
LADDER = (0.0001, 0.0008, 0.0025, 0.0067, 0.013, 0.045)
EVERY_RATE_LADDER = (0.0001, 0.0003, 0.0008, 0.0025, 0.0067, 0.013, 0.045, 0.12)


def _make(weights: Checkpoint, **options: Any) -> LearnedCodec:
    from satstudy.codecs.learned.codec import LearnedCodec

    return LearnedCodec(weights, **options)


for _name, _label, _learned, _style in (
    ("learned", "learned", Learned("overhead", every_rate=True), PlotStyle("blue", "o")),
    (
        "learned-refined",
        "learned, refined",
        Learned("overhead", every_rate=True, refined=True),
        PlotStyle("blue", "P"),
    ),
    ("mbt2018", "mbt2018", Learned("overhead"), PlotStyle("sky", "o", (0, (3, 1)))),
    ("mbt2018-natural", "mbt2018 (natural)", Learned("natural"), PlotStyle("sky", "o", (0, (1, 1)), hollow=True)),
    ("mbt2018-refined", "mbt2018, refined", Learned("overhead", refined=True), PlotStyle("black", "P", (0, (6, 2)))),
):
    register(
        CodecEntry(
            _name,
            _label,
            parameter="lam",
            ladder=EVERY_RATE_LADDER if _learned.every_rate else LADDER,
            factory=_make,
            setting_type=float,
            style=_style,
            learned=_learned,
        )
    )
