"""Settings as YAML reads them, made into dataclasses, or refused with a sentence that names the place."""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from satstudy.core.errors import InputError


def build(kind: Any, value: Any, where: str) -> Any:
    """`value`, as YAML reads it, as `kind`: a dataclass, or what one is made of.

    Raises
    ------
    InputError
        It does not fit: a sentence that names the place, `where`.
    """
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise InputError(f"{where} must be a table of settings, not {value!r}.")
        known = {f.name: f for f in dataclasses.fields(kind)}
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
                raise InputError(f"{where} has no setting {key!r}: {hint}")
        types_ = typing.get_type_hints(kind)
        given = {key: build(types_[key], item, f"{where}.{key}") for key, item in value.items()}
        lacking = [
            name
            for name, f in known.items()
            if name not in given and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        if lacking:
            raise InputError(f"{where} lacks {', '.join(lacking)}: add it.")
        try:
            return kind(**given)  # type: ignore[operator]
        except InputError as error:
            raise InputError(f"{where} does not fit: {error}") from None
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        others = [other for other in typing.get_args(kind) if other is not types.NoneType]
        return None if value is None else build(others[0], value, where)
    if origin is tuple:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = [value]
        if not isinstance(value, list):
            raise InputError(f"{where} must be a list, not {value!r}.")
        return tuple(build(typing.get_args(kind)[0], item, where) for item in value)
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise InputError(f"{where} is {value!r}: take one of {', '.join(map(str, typing.get_args(kind)))}.")
        return value
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise InputError(f"{where} must be a table of settings, not {value!r}.")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
        return float(value)  # YAML 1.1 reads 2e-3 as text and 2.0e-3 as a number
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{where} is {value!r} and must be {kind.__name__}.")
    return value
