"""Lay out the book's sources and the executed notebooks as in the repository, and build the HTML.

Usage: build_book.py PROFILE-NAME TRAINING-PAGE …

The pages are those of the λ that the profile names now, in their order; older ones may lie beside them.
The stage mirrors the repository (book/, notebooks/), so that links between pages and to the sources are
the same in both. The API reference is made of the docstrings, a page for each wing of the package. Warnings are errors;
all of them are shown first.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from satstudy.core import paths


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
    shutil.copy(paths.ROOT / "_config.yml", stage)
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
    for page in sorted(pages.glob("*.ipynb")):
        if f"notebooks/{page.stem}" in toc_files(toc):
            shutil.copy(page, stage / "notebooks")
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
    return 0


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
