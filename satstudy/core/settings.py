"""Settings: YAML read into frozen dataclasses, and refused with one sentence that names the place of a mistake.

pydantic checks the types, `Literal` choices and ranges (`Annotated[int, Field(ge=1)]`) of the fields. A dataclass that
is read takes part by the decorator `settings`. Numbers are not converted from text, nor from true and false.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import typing
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError, with_config

from satstudy.core.errors import InputError

T = TypeVar("T")

#: Decorator of a dataclass: a key that is no field of it is an error.
settings = with_config(ConfigDict(extra="forbid", allow_inf_nan=False))

#: A tuple of settings, for which a single value may stand: `Several[float]`.
Several = Annotated[tuple[T, ...], BeforeValidator(lambda given: _several(given))]


def _several(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else (given,) if type(given) in (int, float) else given


def read(kind: type[T], path: Path) -> T:
    """The settings in a YAML file, which the errors call by its stem: "quick.train.steps is …".

    Raises
    ------
    InputError
        Not to be read, no YAML, a key that stands twice, or settings that do not fit `kind`.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        loader.name = path.name
        content = loader.get_single_data()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else ""
        raise InputError(f"{path} cannot be read as YAML{place}: correct it.") from None
    return build(kind, content, path.stem)


def build(kind: type[T], value: Any, where: str) -> T:
    """`value`, as YAML or JSON holds it, as a dataclass or another type.

    Raises
    ------
    InputError
        It does not fit; the sentence names the place below `where`.

    Examples
    --------
    >>> @settings
    ... @dataclasses.dataclass(frozen=True)
    ... class Crop:
    ...     side: int
    >>> build(Crop, {"side": 64}, "mine")
    Crop(side=64)
    >>> build(Crop, {"sise": 64}, "mine")
    Traceback (most recent call last):
    ...
    satstudy.core.errors.InputError: mine has no setting 'sise': did you mean side?
    """
    try:
        # As JSON, since pydantic then takes lists for tuples and tables for dataclasses, and is strict otherwise.
        return TypeAdapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        raise InputError(_sentence(kind, where, error.errors(include_url=False))) from None


_RANGES = {
    "greater_than": "take a value above {gt:g}",
    "greater_than_equal": "take {ge:g} or more",
    "less_than": "take a value below {lt:g}",
    "less_than_equal": "take {le:g} or less",
    "multiple_of": "take a multiple of {multiple_of:g}",
}
_TYPES = {"int": "int", "float": "float", "bool": "bool", "string": "str", "finite_number": "finite"}


def _sentence(kind: Any, where: str, errors: list[Any]) -> str:
    """What pydantic found, in one sentence: unknown keys first, since others often follow, and lacking keys last."""
    rank = {"unexpected_keyword_argument": 0, "missing": 2}
    first = min(errors, key=lambda error: rank.get(error["type"], 1))
    problem, given, context = first["type"], first["input"], first.get("ctx", {})
    names = [name for name in first["loc"] if isinstance(name, str)]
    place, table = ".".join([where, *names]), ".".join([where, *names[:-1]])
    if problem == "unexpected_keyword_argument":
        known = [field.name for field in dataclasses.fields(_type_at(kind, names[:-1]))]
        near = difflib.get_close_matches(names[-1], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
        return f"{table} has no setting {names[-1]!r}: {hint}"
    if problem == "missing":
        lacking = [error["loc"][-1] for error in errors if error["loc"][:-1] == first["loc"][:-1]]
        return f"{table} lacks {', '.join(lacking)}: add it."
    if problem == "value_error":
        return f"{place} does not fit: {context['error']}"
    if problem in ("dataclass_type", "dict_type"):
        return f"{place} must be a table of settings, not {given!r}."
    if problem == "tuple_type":
        return f"{place} must be a list, not {given!r}."
    if problem == "literal_error":
        choices = typing.get_args(_type_at(kind, names))
        return f"{place} is {given!r}: take one of {', '.join(map(str, choices))}."
    if wanted := _TYPES.get(problem.removesuffix("_type")):
        return f"{place} is {given!r} and must be {wanted}."
    return f"{place} is {given!r}: {_RANGES.get(problem, first['msg']).format(**context)}."


def _type_at(kind: Any, names: list[str]) -> Any:
    """The type of the setting `names` leads to, through dataclasses."""
    for name in names:
        kind = typing.get_type_hints(kind)[name]
    return kind


class _Loader(yaml.SafeLoader):
    """YAML as 1.2 has it where 1.1 surprises: 2e-3 is a number, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise InputError(f"{self.name} has {name} twice, lines {lines[name]} and {line}: keep one.")
            lines[name] = line
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), [*"-+0123456789"]
)
