"""Lay out the book's sources and the executed notebooks as in the repository, and build the HTML.

Usage: build_book.py PROFILE-NAME TRAINING-PAGE …

The pages are those of the λ that the profile names now, in their order; older ones may lie beside them.
The stage mirrors the repository (book/, notebooks/), so that links between pages and to the sources are
the same in both. The API reference is made of the docstrings, a page for each wing of the package, and the page on the
command of the command. What the pages on the results include (`book/introduction.md`, `book/conclusions.md`,
`book/paper.md`) is computed from `results/reference`. Pictures in the notebooks become files. Warnings are errors; all
of them are shown first.
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from satstudy.cli import arguments
from satstudy.core import paths
from satstudy.core.hardware import processor
from satstudy.report import html as written
from satstudy.report import story


def toc_files(node: object) -> list[str]:
    """All files that a table of contents names."""
    if isinstance(node, list):
        return [name for item in node for name in toc_files(item)]
    if isinstance(node, dict):
        own = [node[key] for key in ("file", "root") if key in node]
        return own + [name for key in ("parts", "chapters", "sections") for name in toc_files(node.get(key, []))]
    return []


def main() -> int:
    name, trained = sys.argv[1], sys.argv[2:]
    pages = paths.BUILD / name / "notebooks"
    stage = paths.BUILD / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(paths.ROOT / "book", stage / "book")
    # Sphinx looks for _static at the root of its sources.
    shutil.move(str(stage / "book" / "_static"), stage / "_static")
    (stage / "notebooks").mkdir()
    toc = yaml.safe_load((stage / "book" / "_toc.yml").read_text(encoding="utf-8"))
    for page in ("reference", "cost"):
        if not (pages / f"{page}.ipynb").exists():
            fill(toc, f"notebooks/{page}", [])  # a checkout without kept results
    fill(toc, "notebooks/train-*", [training(page) for page in trained])
    fill(toc, "api/*", [{"file": name} for name in reference(stage)])
    (stage / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False, allow_unicode=True), encoding="utf-8")
    made = {page.stem: page for page in sorted(pages.glob("*.ipynb")) if f"notebooks/{page.stem}" in toc_files(toc)}
    for page in made.values():
        (stage / "notebooks" / page.name).write_text(stripped(page, stage), encoding="utf-8")
    include(stage, "command", command_page())
    include(stage, "build", build_table(made))
    for fragment, text in story.fragments(**story.read(paths.REFERENCE)).items():
        include(stage, fragment, text)
    (stage / "_config.yml").write_text(yaml.safe_dump(configuration(name), allow_unicode=True), encoding="utf-8")
    missing = [f for f in toc_files(toc) if not any((stage / f"{f}{end}").exists() for end in (".md", ".ipynb"))]
    if missing:
        print(f"The book names pages that are not there: {', '.join(missing)}.", file=sys.stderr)
        return 1
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(stage)]
    command += ["--path-output", str(paths.BUILD / "jb"), "-W", "--keep-going", "--quiet", "--all"]
    # Sphinx extensions warn about their own future; Python's warnings are not the book's.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    # For the extension beside this file, and for the package where it is not installed.
    folders = (Path(__file__).parent, paths.PACKAGE.parent, *os.environ.get("PYTHONPATH", "").split(os.pathsep))
    environment["PYTHONPATH"] = os.pathsep.join(str(folder) for folder in folders if str(folder))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-4000:] + done.stderr[-4000:], file=sys.stderr)
        return 1
    html = paths.BUILD / "html"
    shutil.rmtree(html, ignore_errors=True)
    shutil.move(str(paths.BUILD / "jb" / "_build" / "html"), html)
    (html / "_modules" / "index.html").unlink(missing_ok=True)  # no page leads there, and it leads to one that is not
    for page in made.values():  # to keep: with its pictures within
        shutil.copy(page, html / "_sources" / "notebooks")
    return 0


def configuration(profile: str) -> dict[str, Any]:
    """`_config.yml` with version, commit and date in the footer; launch buttons if `CITATION.cff` has an address."""
    config: dict[str, Any] = yaml.safe_load((paths.ROOT / "_config.yml").read_text(encoding="utf-8"))
    citation = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    today = datetime.now(UTC).date().isoformat()
    config["html"]["extra_footer"] = (
        f"satstudy {citation['version']}, commit {paths.commit()}, profile {profile}, built on {today}"
    )
    if address := citation.get("repository-code"):
        config["repository"] = {"url": address, "branch": "main", "path_to_book": ""}
        config["launch_buttons"] = {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        }
        config["html"]["use_repository_button"] = True
    return config


# --- What is computed for the pages -----------------------------------------------------------------------


def include(stage: Path, name: str, text: str) -> None:
    """Write a text that a page includes (`{include} ../made/NAME.md`)."""
    path = stage / "made" / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(with_files(text, stage), encoding="utf-8")


def with_files(text: str, stage: Path) -> str:
    """HTML whose pictures are files of the book: a third smaller than within a page, and loaded when they are seen."""

    def file(match: re.Match[str]) -> str:
        data = base64.b64decode(match[2])
        path = stage / "_static" / "pictures" / f"{hashlib.sha256(data).hexdigest()[:20]}.{match[1]}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return f'src="../{path.relative_to(stage).as_posix()}"'

    return re.sub(r'src="data:image/(\w+);base64,([^"]+)"', file, text)


def stripped(page: Path, stage: Path) -> str:
    """An executed notebook as the book shows it: pictures are files, without progress bars and empty sections."""
    notebook = json.loads(page.read_text(encoding="utf-8"))
    notebook["metadata"].pop("widgets", None)
    notebook["cells"] = [cell for section in sections(notebook["cells"]) if not empty(section) for cell in section]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [o for o in cell["outputs"] if not any("widget" in kind for kind in o.get("data", ()))]
            for data in (output.get("data", {}) for output in cell["outputs"]):
                if "text/html" in data:
                    data["text/html"] = with_files("".join(data["text/html"]), stage)
    return json.dumps(notebook, ensure_ascii=False)


def sections(cells: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The cells of a notebook, from each heading to the next."""
    found: list[list[dict[str, Any]]] = [[]]
    for cell in cells:
        if cell["cell_type"] == "markdown" and "".join(cell["source"]).startswith("#"):
            found.append([])
        found[-1].append(cell)
    return found


def empty(section: list[dict[str, Any]]) -> bool:
    """Whether a section has code and nothing came of it, as where the profile leaves a part of the study out."""
    code = [cell for cell in section if cell["cell_type"] == "code"]
    titled = "".join(section[0]["source"]).startswith("# ") if section else True
    return bool(code) and not titled and not any(cell["outputs"] for cell in code)


def command_page() -> str:
    """The help of every command, as the command prints it."""

    def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for below in action.choices.values():
                    yield from commands(below)

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"  # argparse's width: what the page has room for, whatever the terminal of this build
    try:
        texts = [f"## {one.prog}\n\n```text\n{one.format_help()}```\n" for one in commands(arguments.parser())]
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return "\n".join(texts)


def build_table(pages: dict[str, Path]) -> str:
    """How long each notebook of this book took, and on what."""
    seconds = {stem: json.loads(page.read_text())["metadata"].get("papermill", {}) for stem, page in pages.items()}
    rows = [
        (stem, round(of["duration"] / 60, 1), of["end_time"][:10]) for stem, of in seconds.items() if of.get("duration")
    ]
    table = pd.DataFrame(rows, columns=["notebook", "minutes", "run on"])
    total = table["minutes"].sum()
    table.attrs["caption"] = (
        f"Run time of the notebooks of this book, {total:.0f} minutes in all. What was stored before is used again and "
        "does not count."
    )
    machine = f"This book was built on {hardware()}."
    return f"{machine}\n\n{written.table(table, 1)}\n"


def hardware() -> str:
    """The processor, its cores, and the memory, as the system calls them."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, Python {platform.python_version()}"


# --- The reference of the code ----------------------------------------------------------------------------


def reference(stage: Path) -> list[str]:
    """Write a page for each wing of the package, with what its modules define; returns the names of the pages."""
    (stage / "api").mkdir()
    pages = []
    for wing in sorted(path.parent for path in paths.PACKAGE.glob("*/__init__.py")):
        modules = sorted(path for path in wing.rglob("*.py") if path.name != "__init__.py")
        about = ast.get_docstring(ast.parse((wing / "__init__.py").read_text(encoding="utf-8"))) or ""
        text = "\n".join([f"# satstudy.{wing.name}\n\n{about}\n", *map(section, modules)])
        (stage / "api" / f"{wing.name}.md").write_text(text, encoding="utf-8")
        pages.append(f"api/{wing.name}")
    return pages


def section(path: Path) -> str:
    """The part of a page that documents one module: its docstring, and its public classes and functions."""
    name = ".".join(path.relative_to(paths.PACKAGE.parent).with_suffix("").parts)
    lines = [f".. automodule:: {name}"]
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            lines += ["", f".. autofunction:: {node.name}"]
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            lines += ["", f".. autoclass:: {node.name}", "   :members:"]
            if any(ast.unparse(base) == "NamedTuple" for base in node.bases):  # whose fields have empty docstrings
                fields = [ast.unparse(item.target) for item in node.body if isinstance(item, ast.AnnAssign)]
                lines.append(f"   :exclude-members: {', '.join(fields)}")
    text = "\n".join(lines)
    return f"## {name}\n\n```{{eval-rst}}\n{text}\n```\n"


def training(page: str) -> dict[str, str]:
    """The entry of `train-DOMAIN-LAM`: pages of one notebook have one heading, and need a title to be told apart."""
    _, domain, lam = page.split("-", 2)
    return {"file": f"notebooks/{page}", "title": f"λ = {lam}, {domain}"}


def fill(node: object, name: str, pages: list[dict[str, str]]) -> None:
    """Put the entries `pages` where the table of contents names `name`: one for each trained λ, or none."""
    if isinstance(node, list):
        for item in node:
            fill(item, name, pages)
    elif isinstance(node, dict):
        for key in ("parts", "chapters", "sections"):
            entries = node.get(key)
            if isinstance(entries, list):
                node[key] = [
                    new
                    for item in entries
                    for new in (pages if isinstance(item, dict) and item.get("file") == name else [item])
                ]
                fill(node[key], name, pages)


if __name__ == "__main__":
    sys.exit(main())
