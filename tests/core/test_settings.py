"""What YAML holds becomes settings, or is refused with its place and the nearest that is known."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from satstudy.classification.network import ClassifierConfig
from satstudy.core.errors import InputError
from satstudy.core.settings import build


@dataclass(frozen=True)
class Part:
    crop: int
    rates: tuple[float, ...] = (1.0,)
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Whole:
    part: Part
    label: str = ""
    progress: bool = True
    options: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.label == "bad":
            raise InputError("a label cannot be bad: take another.")


def test_tables_become_dataclasses_with_their_defaults():
    made = build(Whole, {"part": {"crop": 3, "rates": [1, 2.5]}, "options": {"k": 1}}, "here")
    assert made == Whole(Part(3, (1.0, 2.5), "a"), "", True, {"k": 1})
    assert [type(rate) for rate in made.part.rates] == [float, float]
    assert build(Part, {"crop": 3, "rates": 2}, "here").rates == (2.0,), "a number stands for a list of one"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "here must be a table of settings, not []."),
        ({}, "here lacks part: add it."),
        ({"part": {}}, "here.part lacks crop: add it."),
        ({"part": {"crop": 3}, "lable": "x"}, "here has no setting 'lable': did you mean label?"),
        ({"part": {"crop": 3}, "zzz": 1}, "here has no setting 'zzz': known are part, label, progress, options."),
        ({"part": {"crop": 3.5}}, "here.part.crop is 3.5 and must be int."),
        ({"part": {"crop": True}}, "here.part.crop is True and must be int."),
        ({"part": {"crop": 3, "rates": "many"}}, "here.part.rates must be a list, not 'many'."),
        ({"part": {"crop": 3, "rates": [1, "x"]}}, "here.part.rates is 'x' and must be float."),
        ({"part": {"crop": 3, "kind": "c"}}, "here.part.kind is 'c': take one of a, b."),
        ({"part": {"crop": 3}, "progress": 1}, "here.progress is 1 and must be bool."),
        ({"part": {"crop": 3}, "options": [1]}, "here.options must be a table of settings, not [1]."),
        ({"part": {"crop": 3}, "label": "bad"}, "here does not fit: a label cannot be bad: take another."),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(given, says):
    with pytest.raises(InputError) as refused:
        build(Whole, given, "here")
    assert str(refused.value) == says


@pytest.mark.parametrize(("text", "number"), [("2e-3", 0.002), ("-1.5E+2", -150.0)])
def test_a_float_that_yaml_reads_as_text_is_one(text, number):
    assert build(float, text, "here") == number


def test_optional_settings_may_be_null():
    config = build(ClassifierConfig, {"lr": None, "weight_decay": 0, "arch_options": {"k_r": 8}}, "here")
    assert (config.lr, config.weight_decay, config.arch_options) == (None, 0.0, {"k_r": 8})
    with pytest.raises(InputError, match=r"here\.lr is 'x' and must be float"):
        build(ClassifierConfig, {"lr": "x"}, "here")
