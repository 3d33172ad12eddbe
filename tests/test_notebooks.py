"""The notebooks: bare as they are tracked (`-k bare`), and executed from end to end with the profile `smoke`."""

import ast
import os
import re
import sys
import warnings
from html import unescape

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from small_study import CONTENT
from whole_run import execute, snakemake

from satstudy.codecs.learned import checkpoint
from satstudy.core import paths
from satstudy.study import profiles

ROOT = paths.PACKAGE.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STAGES = ("train", "rd", "blending", "accuracy", "summary", "reference", "cost", "your_image")
#: The profile that a notebook takes by itself.
DEFAULT = {"reference": "reference", "cost": "reference"}
BIN = os.path.dirname(sys.executable)
#: Lines of code in a cell that a reader follows without scrolling.
LINES_A_CELL = 16
#: The notebooks in which one image is taken through the method, by plain lines that a reader can change.
EXPLAINED = ("train", "rd", "blending", "accuracy")


def read(path):
    return nbformat.read(path, nbformat.NO_CONVERT)


def code_cells():
    """Every code cell, by its identifier."""
    for path in NOTEBOOKS:
        for cell in read(path).cells:
            if cell.cell_type == "code":
                yield pytest.param(cell.source, id=f"{path.stem}:{cell.id}")


def parameters_cell(path):
    (cell,) = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    return cell


each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


# --- As they are tracked ----------------------------------------------------------------------------------


def test_bare_the_stages_of_the_contract_are_there():
    assert [path.stem for path in NOTEBOOKS] == sorted(STAGES)


@each
def test_bare_notebooks_are_valid_and_hold_no_results(path):
    notebook = read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor >= 5) == (4, True)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}, "nothing of the machine it was edited on"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}, cell.id
        assert not cell.get("attachments"), cell.id
        if cell.cell_type == "code":
            assert cell.outputs == [], cell.id
            assert cell.execution_count is None, cell.id
    identifiers = [cell.id for cell in notebook.cells]
    assert len(set(identifiers)) == len(identifiers)


@each
def test_bare_notebooks_begin_with_a_title_and_end_with_what_made_the_page(path):
    cells = read(path).cells
    assert cells[0].cell_type == "markdown"
    assert re.match(r"# \S", cells[0].source)
    assert "provenance(study" in cells[-1].source
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert "study = begin(globals())" in code[1], "parameters are checked before anything else happens"


@each
def test_bare_parameters_are_typed_and_have_a_comment_a_line(path):
    lines = parameters_cell(path).source.splitlines()
    for line in lines:
        (statement,) = ast.parse(line).body
        assert isinstance(statement, ast.AnnAssign), line
        assert statement.annotation.id in ("str", "float", "int", "bool"), line
        assert type(ast.literal_eval(statement.value)).__name__ == statement.annotation.id, line
        assert len(line.rpartition("  # ")[2].split()) >= 2, line
    assert lines[0].startswith(f'profile: str = "{DEFAULT.get(path.stem, "quick")}"  # ')
    lam = [line for line in lines if line.startswith("lam: float = ")]
    assert len(lam) == (path.stem in ("train", "rd", "blending"))


@each
def test_bare_parameters_are_what_papermill_shows(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import papermill

        seen = papermill.inspect_notebook(str(path))
    assert list(seen) == [line.partition(":")[0] for line in parameters_cell(path).source.splitlines()]
    assert seen["profile"]["inferred_type_name"] == "str"
    assert seen["profile"]["default"] == f'"{DEFAULT.get(path.stem, "quick")}"'
    assert all(parameter["help"] for parameter in seen.values())
    if path.stem in ("train", "rd"):
        assert seen["lam"]["inferred_type_name"] == "float"


@pytest.mark.parametrize("source", list(code_cells()))
def test_bare_cells_are_short_and_define_no_functions_or_classes(source):
    tree = ast.parse(source)
    imports = {
        line
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = [
        line
        for number, line in enumerate(source.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#") and number not in imports
    ]
    assert len(lines) <= LINES_A_CELL
    for node in ast.walk(tree):
        assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef), f"line {node.lineno}"


@each
def test_bare_the_method_stands_on_one_image_before_it_runs_on_all(path):
    headings = [cell.source.splitlines()[0] for cell in read(path).cells if cell.cell_type == "markdown"]
    assert ("## The method on one image" in headings) == (path.stem in EXPLAINED)


@each
def test_bare_notebooks_import_only_what_draws_and_measures(path):
    sources = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    modules = set()
    for node in ast.walk(ast.parse("\n".join(sources))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.partition(".")[0])
    assert modules <= {"satstudy", "pandas", "numpy", "torch", "matplotlib"}


# --- Executed ---------------------------------------------------------------------------------------------


def test_an_unknown_parameter_stops_and_names_the_right_one(tmp_path):
    command = [
        f"{BIN}/papermill",
        ROOT / "notebooks" / "rd.ipynb",
        "out.ipynb",
        "-p",
        "lamb",
        "0.01",
        "--no-progress-bar",
    ]
    status, text = execute(command, tmp_path, tmp_path / "build")
    assert status != 0
    assert (
        "InputError: This notebook has no parameter 'lamb': did you mean lam? There are profile, lam, images, codecs"
        in text
    )
    assert not (tmp_path / "build").exists(), "nothing was made before"


def test_a_failing_stage_says_which_notebook_cell_and_error_and_keeps_what_ran(tmp_path):
    content = {**CONTENT, "name": "broken", "data": {"kind": "fmow", "root": str(tmp_path / "no images")}}
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(content))
    status, text = snakemake(tmp_path, tmp_path / "build", "--config", "profile=broken.yaml")
    assert status != 0
    assert re.search(r"train\.ipynb stopped at cell \[4\] \(.*splits_table\(.*\): InputError: The profile broken", text)
    assert "no images, which is not there: put or link them there" in text
    pages = tmp_path / "build" / "broken" / "notebooks"
    (kept,) = (pages / "failed").glob("train-overhead-*.ipynb")
    assert f"What ran is kept in {kept}." in text
    assert "which is not there" in str(read(kept).cells)
    assert not list(pages.glob("train-*.ipynb"))


def page(book, name: str) -> str:
    """The words of a page."""
    html = (book / "build" / "html" / f"{name}.html").read_text(encoding="utf-8")
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@pytest.mark.slow
def test_the_book_has_every_page(book):
    names = ["index", *(path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "book").rglob("*.md"))]
    names += [f"api/{wing.parent.name}" for wing in paths.PACKAGE.glob("*/__init__.py")]
    for name in names:
        assert (book / "build" / "html" / f"{name}.html").is_file(), name
    lams = [f"{lam:g}" for lam in profiles.load("smoke").train.lams]
    pages = {path.stem for path in (book / "build" / "html" / "notebooks").glob("*.html")}
    kept = {"reference", "cost"} if list(paths.REFERENCE.glob("*.csv")) else set()
    assert (
        pages
        == {"rd", "blending", "accuracy", "summary", "your_image"} | {f"train-overhead-{lam}" for lam in lams} | kept
    )


@pytest.mark.slow
def test_a_page_of_results_says_what_made_it_and_that_it_is_synthetic(book):
    for path in (book / "build" / "html" / "notebooks").glob("*.html"):
        text = page(book, f"notebooks/{path.stem}")
        assert "Traceback" not in text
        for place in (ROOT, book):
            assert str(place) not in text, f"{path.stem} shows a folder of this machine"
        if path.stem in ("reference", "cost"):  # drawn from the kept results
            assert re.search(r"Made by profile reference at commit [0-9a-f]{10} from UC Merced", text)
            continue
        assert re.search(r"Made by profile smoke at commit ([0-9a-f]{10}\+?|unknown) from synthetic scenes", text)
        assert re.search(r"weights \(fingerprint\): overhead lam=[\d.]+ \([0-9a-f]{16}\)", text), path.stem
        assert "Synthetic scenes. The images of this page are drawn" in text, path.stem


@pytest.mark.slow
def test_the_tables_of_a_run_are_kept(book):
    results = book / "build" / "smoke" / "results"
    assert {path.name for path in results.iterdir()} >= {
        "rate_distortion.csv", "bd_rate.csv", "seams.csv", "accuracy.csv", "accuracy.json",
        "accuracy_conditions.csv", "bd_rate_by_category.csv", "rd.json", "crops", "seam",
    }  # fmt: skip


@pytest.mark.slow
def test_a_second_run_does_nothing_and_another_profile_another_book(book):
    status, text = snakemake(book, book / "build", "--config", "profile=smoke")
    assert status == 0
    assert "Nothing to be done" in text
    # The book of one profile does not pass for that of another.
    status, text = snakemake(book, book / "build", "--dry-run", "--config", "profile=quick")
    assert status == 0
    assert re.search(r"^book\s+1$", text, re.MULTILINE)


@pytest.mark.slow
def test_own_images_are_coded_with_what_ships_and_the_page_says_whose_they_are(book, tmp_path):
    """Codecs and settings are parameters; neither banner, foot nor pictures are of synthetic scenes."""
    mine = np.random.default_rng(3).integers(0, 256, (12, 15, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    (tmp_path / "mine").mkdir()
    Image.fromarray(mine).save(tmp_path / "mine" / "field.png")
    command = [
        f"{BIN}/papermill",
        ROOT / "notebooks" / "rd.ipynb",
        "out.ipynb",
        "--no-progress-bar",
        "-p",
        "profile",
        "smoke",
    ]
    own = ["-p", "images", "mine", "-p", "codecs", "jpeg 20 40 60 80, mbt2018"]
    status, text = execute([*command, *own], tmp_path, book / "build")
    assert status == 0, text[-3000:]
    page = (tmp_path / "out.ipynb").read_text()
    assert "from* own images" in page
    assert "ynthetic scenes" not in page
    shipped = [checkpoint.load(path).fingerprint.hex() for path in checkpoint.shipped().values()]
    assert all(fingerprint in page for fingerprint in shipped)
    results = book / "build" / "smoke-own" / "results"
    frame = pd.read_csv(results / "rate_distortion-own.csv")
    assert set(frame["image"]) == {"field.png"}
    assert {name: len(part) for name, part in frame.groupby("codec")} == {"jpeg": 4, "mbt2018": len(shipped)}
    crop = np.asarray(Image.open(results / "crops-own" / "original.png"))
    assert any((mine[y : y + 160, x : x + 160] == crop).all() for y in range(33) for x in range(81)), "of the own image"


@pytest.mark.slow
def test_one_notebook_runs_from_any_folder_with_another_lam(book, tmp_path):
    command = [f"{BIN}/papermill", ROOT / "notebooks" / "rd.ipynb", "out.ipynb", "--no-progress-bar"]
    status, text = execute([*command, "-p", "profile", "smoke", "-p", "lam", "0.01"], tmp_path, book / "build")
    assert status == 0, text[-3000:]
    assert "overhead lam=0.01 (" in (tmp_path / "out.ipynb").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"], "nothing else is left in the reader's folder"
