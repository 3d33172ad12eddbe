"""What YAML holds becomes settings, or is refused with its place and the nearest that is known."""

import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from satstudy.core.errors import InputError
from satstudy.core.settings import Several, build, read


@dataclass(frozen=True)
class Part:
    crop: Annotated[int, Field(ge=1, le=512)]
    rates: Several[Annotated[float, Field(gt=0, lt=10)]] = (1.0,)
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Whole:
    part: Part
    label: str = ""
    progress: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    lr: float | None = None

    def __post_init__(self) -> None:
        if self.label == "bad":
            raise InputError("a label cannot be bad: take another.")


def test_tables_become_dataclasses_with_their_defaults():
    made = build(Whole, {"part": {"crop": 3, "rates": [1, 2.5]}, "options": {"k": 1}}, "here")
    assert made == Whole(Part(3, (1.0, 2.5), "a"), "", True, {"k": 1}, None)
    assert [type(rate) for rate in made.part.rates] == [float, float]
    assert build(Part, {"crop": 3, "rates": 2}, "here").rates == (2.0,), "a number stands for a list of one"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "here must be a table of settings, not []."),
        ({}, "here lacks part: add it."),
        ({"part": {}}, "here.part lacks crop: add it."),
        (
            {"part": {"crop": 3}, "lable": "x"},
            "here has no setting 'lable': did you mean label? There are part, label, progress, options, lr.",
        ),
        ({"part": {"crop": 3}, "zzz": 1}, "here has no setting 'zzz': take one of part, label, progress, options, lr."),
        ({"part": {"crop": 3.5}}, "here.part.crop is 3.5 and must be int."),
        ({"part": {"crop": True}}, "here.part.crop is True and must be int."),
        ({"part": {"crop": 3, "rates": "many"}}, "here.part.rates must be a list, not 'many'."),
        ({"part": {"crop": 3, "rates": [1, "x"]}}, "here.part.rates is 'x' and must be float."),
        ({"part": {"crop": 3, "kind": "c"}}, "here.part.kind is 'c': take one of a, b."),
        ({"part": {"crop": 3}, "progress": 1}, "here.progress is 1 and must be bool."),
        ({"part": {"crop": 3}, "options": [1]}, "here.options must be a table of settings, not [1]."),
        ({"part": {"crop": 3}, "label": "bad"}, "here does not fit: a label cannot be bad: take another."),
        ({"part": {"crop": 0}}, "here.part.crop is 0: take 1 or more."),
        ({"part": {"crop": 513}}, "here.part.crop is 513: take 512 or less."),
        ({"part": {"crop": 3, "rates": [1, 0]}}, "here.part.rates is 0: take a value above 0."),
        ({"part": {"crop": 3, "rates": 10}}, "here.part.rates is 10: take a value below 10."),
        ({"part": {"crop": 3}, "lr": "2"}, "here.lr is '2' and must be float."),
        ({"part": {"crop": 3}, "lr": float("nan")}, "here.lr is nan: Input should be a finite number."),
        (
            {"part": {"crop": "x"}, "lable": 1},
            "here has no setting 'lable': did you mean label? There are part, label, progress, options, lr.",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(given, says):
    with pytest.raises(InputError) as refused:
        build(Whole, given, "here")
    assert str(refused.value) == says


def test_an_optional_setting_may_be_null():
    assert build(Whole, {"part": {"crop": 3}, "lr": None}, "here").lr is None
    assert build(Whole, {"part": {"crop": 3}, "lr": 0}, "here").lr == 0.0


@pytest.fixture
def write(tmp_path):
    """`write(text)`: a YAML file, and its path."""

    def write(text: str):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(("text", "number"), [("2e-3", 0.002), ("-1.5E+2", -150.0), ("1.0e1", 10.0), ("3", 3.0)])
def test_a_float_is_one_with_and_without_a_point(write, text, number):
    assert read(Whole, write(f"part: {{crop: 3}}\nlr: {text}")).lr == number


def test_what_looks_like_a_number_within_a_text_is_a_text(write):
    assert read(Whole, write("part: {crop: 3}\nlabel: 2e-3 of it")).label == "2e-3 of it"
    with pytest.raises(InputError, match=r"mine\.label is 0\.002 and must be str"):
        read(Whole, write("part: {crop: 3}\nlabel: 2e-3"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("label: a\npart: {crop: 3}\nlabel: b", "mine.yaml has label twice, lines 1 and 3: keep one."),
        ("part:\n  crop: 3\n  kind: a\n  crop: 4", "mine.yaml has crop twice, lines 2 and 4: keep one."),
        ("part: {crop: 3}\noptions: {a: {b: 1,\n  'b': 2}}", "mine.yaml has b twice, lines 2 and 3: keep one."),
        ("3: 1\n3: 2", "mine.yaml has 3 twice, lines 1 and 2: keep one."),
    ],
)
def test_a_key_that_stands_twice_is_named_with_its_lines(write, text, says):
    with pytest.raises(InputError) as refused:
        read(Whole, write(text))
    assert str(refused.value) == says


def test_the_same_key_in_two_tables_is_none_that_stands_twice(write):
    made = read(Whole, write("part: {crop: 3}\noptions: {a: {b: 1}, c: {b: 2}}"))
    assert made.options == {"a": {"b": 1}, "c": {"b": 2}}


@pytest.mark.parametrize("number", ["010", "1:30", "-0777", "1:30.5", "00"])
def test_what_only_older_yaml_takes_for_a_number_is_no_number(write, number):
    """YAML 1.1 reads 010 as 8 and 1:30 as 90; YAML 1.2 does not."""
    with pytest.raises(InputError, match=re.escape(f"crop is {number!r} and must be int")):
        read(Whole, write(f"part: {{crop: {number}}}"))
    assert read(Whole, write("part: {crop: 10, rates: [0.5, 0.25]}")).part == Part(10, (0.5, 0.25))


@pytest.mark.parametrize("text", ["part: &x [*x]", "options: &x {a: *x}", "[" * 5000])
def test_what_never_ends_is_refused(write, text):
    with pytest.raises(InputError, match=r"an alias within what it stands for|cannot be read as YAML"):
        read(Whole, write(text))


@pytest.mark.parametrize("text", ["2020-01-01: 5", "~: 5", "part: !!binary aGk=", "part: !!set {a}"])
def test_what_only_yaml_has_is_refused_in_a_sentence(write, text):
    with pytest.raises(InputError, match=r"^mine(\.\w+)? (is|has no setting|lacks|must be)"):
        read(Whole, write(text))


texts = st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=9
)


@given(st.dictionaries(st.sampled_from(["part", "label", "progress", "options", "lr", "x"]), values))
def test_whatever_is_given_is_built_or_refused_in_one_sentence(content):
    try:
        made = build(Whole, content, "here")
    except InputError as error:
        made = str(error)
    sentence = r"here(\.\w+)* (is|has no|lacks|must be|does not fit)\b.*"
    assert isinstance(made, Whole) or re.fullmatch(sentence, made, re.DOTALL)


@given(values)
def test_json_is_yaml_and_is_read_as_it_was(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("yaml") / "mine.yaml"
    path.write_text(json.dumps({"options": {"key": content}, "part": {"crop": 1}}))
    assert read(Whole, path).options["key"] == content
