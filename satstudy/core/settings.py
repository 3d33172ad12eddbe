"""Settings: YAML files as frozen dataclasses; an error is one sentence with the place of the mistake.

pydantic checks types, choices (`Literal`) and ranges (`Annotated[int, Field(ge=1)]`). Text is never converted.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from satstudy.core.errors import InputError, choices

T = TypeVar("T")


def _several(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else (given,) if type(given) in (int, float) else given


#: `Several[float]`: a tuple of settings, written in YAML as a list or as one number.
Several = Annotated[tuple[T, ...], BeforeValidator(_several)]


def read(kind: type[T], path: Path) -> T:
    """The settings of a YAML file. Errors start with the stem of its name: "quick.train.steps is …".

    Raises
    ------
    InputError
        A file that is not YAML, a repeated key, or settings that do not fit `kind`.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        loader.name = path.name
        content = loader.get_single_data()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else ""
        raise InputError(f"{path} cannot be read as YAML{place}: correct it.") from None
    return build(kind, content, path.stem)


def build(kind: type[T], value: Any, where: str) -> T:
    """A value of the types of YAML as a dataclass or another type.

    Parameters
    ----------
    where : start of the place in error messages

    Raises
    ------
    InputError
        It does not fit.

    Examples
    --------
    >>> build(tuple[int, ...], [1, 2], "example")
    (1, 2)
    """
    _forbid_unknown_keys(kind)
    try:
        plain = json.dumps(value, default=str)
    except (ValueError, RecursionError):
        raise InputError(f"{where} has an alias within what it stands for: write it out.") from None
    try:
        # Strict JSON: lists become tuples and tables dataclasses, and no other type is converted.
        return TypeAdapter(kind).validate_json(plain, strict=True)
    except ValidationError as error:
        raise InputError(_sentence(kind, where, error.errors(include_url=False))) from None


def _forbid_unknown_keys(kind: Any) -> None:
    """Make all dataclasses within a type refuse unknown keys, which pydantic ignores by default."""
    if dataclasses.is_dataclass(kind):
        kind.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # type: ignore[union-attr]
    for inner in (*_hints(kind).values(), *typing.get_args(kind)):
        _forbid_unknown_keys(inner)


def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}


#: pydantic's error → the sentence.
_SENTENCES = {
    "value_error": "{place} does not fit: {error}",
    "dataclass_type": "{place} must be a table of settings, not {given!r}.",
    "dict_type": "{place} must be a table of settings, not {given!r}.",
    "tuple_type": "{place} must be a list, not {given!r}.",
    "int_type": "{place} is {given!r} and must be int.",
    "float_type": "{place} is {given!r} and must be float.",
    "bool_type": "{place} is {given!r} and must be bool.",
    "string_type": "{place} is {given!r} and must be str.",
    "literal_error": "{place} is {given!r}: take one of {choices}.",
    "greater_than": "{place} is {given!r}: take a value above {gt:g}.",
    "greater_than_equal": "{place} is {given!r}: take {ge:g} or more.",
    "less_than": "{place} is {given!r}: take a value below {lt:g}.",
    "less_than_equal": "{place} is {given!r}: take {le:g} or less.",
}


def _sentence(kind: Any, where: str, errors: list[Any]) -> str:
    """The most telling of pydantic's errors as one sentence: an unknown key first, a missing key last."""
    rank = {"unexpected_keyword_argument": 0, "missing": 2}
    first = min(errors, key=lambda error: rank.get(error["type"], 1))
    *parents, name = [part for part in first["loc"] if isinstance(part, str)] or [""]
    for parent in parents:
        kind = _hints(kind)[parent]
    table, known = ".".join([where, *parents]), _hints(kind)
    if first["type"] == "unexpected_keyword_argument":
        return f"{table} has no setting {name!r}: {choices(name, known)}."
    if first["type"] == "missing":
        lacking = [error["loc"][-1] for error in errors if error["loc"][:-1] == first["loc"][:-1]]
        return f"{table} lacks {', '.join(lacking)}: add it."
    options = ", ".join(map(str, typing.get_args(known.get(name))))
    sentence = _SENTENCES.get(first["type"], "{place} is {given!r}: {msg}.")
    facts = {"place": f"{table}.{name}".rstrip("."), "given": first["input"], "choices": options, "msg": first["msg"]}
    return sentence.format(**facts, **first.get("ctx", {}))


class _Loader(yaml.SafeLoader):
    """YAML with numbers as in YAML 1.2, and an error for repeated keys.

    2e-3 is a number; 010 and 1:30, which are 8 and 90 in YAML 1.1, are text.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise InputError(f"{self.name} has {name} twice, lines {lines[name]} and {line}: keep one.")
            lines[name] = line
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}


_FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, [*"-+0123456789"])
_OF_YAML_1_1 = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?)$")
for _sign in "+-0123456789":
    _Loader.yaml_implicit_resolvers[_sign].insert(0, ("tag:yaml.org,2002:str", _OF_YAML_1_1))
