"""Sphinx extension: what this package writes behind a parameter's colon is a description, not a type.

NumPy's style, as Napoleon reads it, has the type behind the colon and the description below. The types are in the
signatures here, so `lam : the trade-off` becomes the name `lam` with the description below it.
"""

from __future__ import annotations

import re
from typing import Any

SECTIONS = ("Parameters", "Attributes", "Returns", "Yields")


def describe(lines: list[str]) -> list[str]:
    """The lines of a docstring with descriptions below the names."""
    out: list[str] = []
    section = ""
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        if following and set(following.strip()) == {"-"}:
            section = line.strip()
        match = re.fullmatch(r"(\s*)([\w*, ]+) : (.+)", line)
        if section in SECTIONS and match:
            out += [f"{match[1]}{name}" for name in match[2].split(", ")] + [f"{match[1]}    {match[3]}"]
        else:
            out.append(line)
    return out


def process(app: Any, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring before Napoleon reads it."""
    if what in ("attribute", "property", "data"):
        # Napoleon takes what is before a colon in the first line for the type.
        lines[:1] = [line.replace(": ", " – ") for line in lines[:1]]
    lines[:] = describe(lines)


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True}
