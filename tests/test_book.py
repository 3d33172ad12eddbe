"""What the book and the pages at the top of the repository name is there."""

import ast
import importlib
import re

import pytest
from scripts import ROOT, script

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "book").rglob("*.md")])
each = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
build_book, docstrings = script("build_book"), script("docstrings")


@each
def test_every_path_that_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    folders = "satstudy|tests|profiles|notebooks|workflow|book|results|benchmarks"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]*\w)`", text))
    # Files that the reader of a page is to write.
    missing = [path for path in named if not (ROOT / path).exists() and f"here `{path}`" not in text]
    assert not missing


@each
def test_every_name_that_leads_to_the_reference_is_in_the_package(page):
    for target in re.findall(r"{py:\w+}`(?:[^`<]*<)?([\w.]+)>?`", page.read_text(encoding="utf-8")):
        module, _, name = target.rpartition(".")
        assert hasattr(importlib.import_module(module), name), target


@each
def test_code_of_a_page_imports_what_is_there(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module != "satstudy.codecs.deflate":
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


def test_the_reference_has_a_page_for_each_wing_and_everything_public(tmp_path):
    pages = build_book.reference(tmp_path)
    wings = sorted(path.parent.name for path in (ROOT / "satstudy").glob("*/__init__.py"))
    assert pages == [f"api/{wing}" for wing in wings]
    text = "".join((tmp_path / f"{page}.md").read_text(encoding="utf-8") for page in pages)
    modules = [path for path in (ROOT / "satstudy").rglob("*.py") if path.name != "__init__.py"]
    assert len(re.findall(r"^.. automodule:: ", text, re.MULTILINE)) == len(modules)
    assert ".. autofunction:: bootstrap_interval" in text
    assert ".. autoclass:: CodecEntry\n   :members:" in text
    assert ".. autofunction:: _" not in text


def test_a_description_behind_the_colon_of_a_parameter_is_no_type():
    lines = [
        "One line.",
        "",
        "Parameters",
        "----------",
        "lam : the trade-off",
        "    of rate",
        "a, b : two",
        "",
        "x : y",
    ]
    described = docstrings.describe([*lines, "", "Examples", "--------", "n : 1"])
    assert described[4:10] == ["lam", "    the trade-off", "    of rate", "a", "b", "    two"]
    assert described[-1] == "n : 1"
    assert docstrings.describe([]) == []
