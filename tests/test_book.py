"""What the book and the pages at the top of the repository name is there."""

import argparse
import ast
import base64
import importlib
import json
import re

import pytest
import yaml
from pybtex.database import parse_file
from scripts import ROOT, script

from satstudy.cli.arguments import parser
from satstudy.core import paths

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "book").rglob("*.md")])
each = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
build_book, docstrings, mathml = script("build_book"), script("docstrings"), script("mathml")


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


# --- What the build makes of notebooks and of the command ---------------------------------------------------


def markdown(text):
    return {"cell_type": "markdown", "source": [text]}


def code(*outputs):
    return {"cell_type": "code", "source": ["x"], "outputs": [{"data": output} for output in outputs]}


def test_sections_without_any_result_do_not_appear_and_progress_bars_neither(tmp_path):
    bar = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0%"}
    kept = [markdown("# Title"), code(), markdown("## Measured"), code(bar), code({"text/plain": "1"})]
    cells = [*kept, markdown("## Left out"), code(), markdown("words"), code(), markdown("## Words"), markdown("more")]
    page = tmp_path / "page.ipynb"
    page.write_text(json.dumps({"metadata": {"widgets": {"a": 1}, "kernelspec": {}}, "cells": cells}))
    shown = json.loads(build_book.stripped(page, tmp_path))
    assert [cell["source"][0] for cell in shown["cells"] if cell["cell_type"] == "markdown"] == [
        "# Title", "## Measured", "## Words", "more",
    ]  # fmt: skip
    assert "widget" not in json.dumps(shown)
    assert [len(cell["outputs"]) for cell in shown["cells"] if cell["cell_type"] == "code"] == [0, 0, 1]


def test_pictures_within_a_page_become_files_once(tmp_path):
    stage = tmp_path / "stage"
    (stage / "_static").mkdir(parents=True)
    data = base64.b64encode(b"a picture").decode()
    image = f'<img src="data:image/webp;base64,{data}" alt="a">'
    text = build_book.with_files(image + image, stage)
    (path,) = (stage / "_static" / "pictures").iterdir()
    assert path.read_bytes() == b"a picture"
    assert text == f'<img src="../_static/pictures/{path.name}" alt="a">' * 2


def test_the_page_on_the_command_has_every_option_of_every_command():
    page = build_book.command_page()

    def check(of):
        assert f"## {of.prog}\n" in page
        for action in of._actions:
            assert all(option in page for option in action.option_strings if action.help != argparse.SUPPRESS)
            if isinstance(action, argparse._SubParsersAction):
                for below in action.choices.values():
                    check(below)

    check(parser())


def test_the_foot_names_version_commit_profile_and_date_and_buttons_need_an_address(tmp_path, monkeypatch):
    config = build_book.configuration("smoke")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    foot = config["html"]["extra_footer"]
    assert foot.startswith(f"satstudy {citation['version']}, commit {paths.commit()}, profile smoke, built on 20")
    assert ("launch_buttons" in config) == ("repository-code" in citation)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "_config.yml").write_text("html: {}")
    (tmp_path / "CITATION.cff").write_text("version: 1\nrepository-code: https://a.example/b/c\n")
    config = build_book.configuration("smoke")
    assert config["repository"] == {"url": "https://a.example/b/c", "branch": "main", "path_to_book": ""}
    assert set(config["launch_buttons"]) == {"binderhub_url", "colab_url"}


def test_the_time_of_each_notebook_and_the_machine_are_on_the_page_on_the_build(tmp_path):
    page = tmp_path / "rd.ipynb"
    page.write_text(json.dumps({"metadata": {"papermill": {"duration": 90.0, "end_time": "2026-01-02T03"}}}))
    text = build_book.build_table({"rd": page})
    assert "<td>rd</td>" in text
    assert "<td>1.5</td>" in text
    assert "<td>2026-01-02</td>" in text
    assert re.search(r"built on .+, \d+ cores, \d+ GiB of memory, Python 3", text)


def test_every_reference_has_an_address_and_a_label_that_can_be_read():
    bibliography = script("bibliography")
    known = parse_file(ROOT / "book" / "references.bib").entries
    for name, entry in known.items():
        assert entry.fields.get("doi") or entry.fields["url"].startswith("https://"), name
    formatted = bibliography.Style().format_entries(known.values())
    labels = {entry.key: entry.label for entry in formatted}
    assert labels["minnen2018"] == "Minnen 2018"
    assert labels["bjontegaard2001"] == "Bjøntegaard 2001"
    assert len(set(labels.values())) == len(known)
    twice = [known["yang2010"], known["yang2010"]]
    assert list(bibliography.NameAndYear().format_labels(twice)) == ["Yang 2010", "Yang 2010b"]


def test_formulas_are_mathml():
    from types import SimpleNamespace

    from docutils import nodes

    body: list[str] = []
    for draw, node in ((mathml.inline, nodes.math), (mathml.display, nodes.math_block)):
        with pytest.raises(nodes.SkipNode):
            draw(SimpleNamespace(body=body), node("", r"\lambda \cdot 255^2"))
    assert all(re.search(r"<math [^>]*>.*<mi>λ</mi>.*<mn>255</mn>", text, re.DOTALL) for text in body)
    assert "tabindex" in body[1], "a wide formula is scrolled"
