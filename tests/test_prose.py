"""No result is typed into prose: a number with a unit is glued, comes from a script, is cited, or is a setting."""

import json
import re

import pytest
from scripts import ROOT

#: Units of what is measured. Pixels, metres, λ and steps are settings.
UNIT = (
    r"(?:%|percent\b|dB\b|bpp\b|bytes?\b|[kKMG]i?B(?:/s)?\b|kMAC|m?s\b|"
    r"seconds?\b|minutes?\b|hours?\b|times\b|fold\b)"
)
WORDS = "two|three|four|five|six|seven|eight|nine|ten|twenty|some|several"
NUMBER = re.compile(rf"(?<![\w.^])(?:[+−±–-]?\d[\d.,]*|\b(?:{WORDS}))(?:[ -]|\u202f)?{UNIT}", re.IGNORECASE)

#: Settings, definitions and fields of formats, by page. What no page says any more must go from here.
SETTINGS = {
    "README.md": ["9 GB", "two minutes", "ten minutes", "45 MiB"],
    "book/change.md": ["eight bytes"],
    "book/container.md": ["0.02 bpp", "1 %", "25 bytes", "64 KiB", "five bytes", "ten bytes"],
    "book/decisions/streams.md": ["ten bytes"],
    "book/images.md": ["48 KB", "64 KiB"],
}


def prose(text: str) -> str:
    """A page without code, code in lines, tables' rules, comments, and what a script has put there."""
    text = re.sub(r"<!-- measured.*?<!-- end of measured -->", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"^ *(```|~~~).*?^ *\1", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`", "`", text)
    # A paragraph that cites states what its source has.
    return "\n\n".join(
        part for part in re.split(r"\n\s*\n", text) if not re.search(r"{cite:|\(paper\b|§|[Ii]n the paper\b", part)
    )


def pages():
    for path in (*ROOT.glob("*.md"), *(ROOT / "book").rglob("*.md"), ROOT / "satstudy" / "weights" / "README.md"):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        yield path.relative_to(ROOT).as_posix(), text


PAGES = dict(pages())


def numbers(text: str) -> list[str]:
    # 95 % is the level of all intervals, a convention.
    return [found for found in NUMBER.findall(re.sub(r"\s+", " ", prose(text))) if found != "95 %"]


@pytest.mark.parametrize("page", PAGES)
def test_numbers_with_units_are_settings_or_come_from_a_file(page):
    found = numbers(PAGES[page])
    assert sorted(set(found) - set(SETTINGS.get(page, []))) == []
    assert sorted(set(SETTINGS.get(page, [])) - set(found)) == [], "no longer on the page"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It needs −26.9 % bits and 33 dB at 0.67 bpp.", ["−26.9 %", "33 dB", "0.67 bpp"]),
        ("They code some five percent twice, in three minutes.", ["five percent", "three minutes"]),
        ("An interval of 95 % covers 256 pixels, λ = 0.013.", []),
        ("The paper has 32.9 dB {cite:p}`bayerl2023`.\n\nOurs has 31 dB.", ["31 dB"]),
        ("Run `x --bpp 0.3 bpp`.\n\n```\n5 %\n```\n<!-- measured: x -->\n7 %\n<!-- end of measured -->", []),
    ],
)
def test_what_counts_as_a_typed_result(text, found):
    assert numbers(text) == found
