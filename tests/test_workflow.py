"""The scripts around the notebooks: what stands in the book, what a failure leaves, and which Python is taken."""

import copy
import itertools
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
import yaml
from scripts import ROOT, script

from satstudy.core import paths
from satstudy.study import profiles

build_book, run_notebook = script("build_book"), script("run_notebook")
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))


# --- The book's contents ----------------------------------------------------------------------------------


def test_all_files_of_a_table_of_contents_are_found():
    assert build_book.toc_files(TOC)[0] == "book/introduction"
    toc = {
        "root": "a",
        "parts": [
            {"caption": "x", "chapters": [{"file": "b", "sections": [{"file": "c"}]}]},
            {"chapters": [{"file": "d"}]},
        ],
    }
    assert build_book.toc_files(toc) == ["a", "b", "c", "d"]
    assert build_book.toc_files([]) == []


def test_a_page_for_each_training_takes_the_place_of_the_star():
    toc = copy.deepcopy(TOC)
    pages = [build_book.training(f"train-{of}") for of in ("overhead-0.0025", "natural-1e-05")]
    assert [page["title"] for page in pages] == ["λ = 0.0025, overhead", "λ = 1e-05, natural"]
    build_book.fill(toc, "notebooks/train-*", pages)
    files = build_book.toc_files(toc)
    assert [name for name in files if "*" in name] == ["api/*"], "the reference, which is filled with the wings"
    at = files.index("book/training")
    assert files[at + 1 : at + 3] == ["notebooks/train-overhead-0.0025", "notebooks/train-natural-1e-05"]
    assert len(files) == len(build_book.toc_files(TOC)) + 1
    build_book.fill(toc, "notebooks/train-*", [build_book.training("train-overhead-1")])
    assert build_book.toc_files(toc) == files, "filled once"


def test_a_page_that_is_not_made_is_taken_out():
    toc = copy.deepcopy(TOC)
    build_book.fill(toc, "notebooks/reference", [])
    left = build_book.toc_files(toc)
    assert "notebooks/reference" not in left
    assert sorted([*left, "notebooks/reference"]) == sorted(build_book.toc_files(TOC))
    build_book.fill(toc, "notebooks/train-*", [])
    assert "notebooks/train-*" not in build_book.toc_files(toc), "a section of a chapter"


def test_the_contents_name_every_page_of_the_book_and_every_notebook():
    files = set(build_book.toc_files(TOC))
    pages = {path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "book").rglob("*.md")}
    stages = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert files == pages | (stages - {"notebooks/train"}) | {"notebooks/train-*", "api/*"}


def test_what_the_contents_name_is_said_to_be_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    monkeypatch.setattr(sys, "argv", ["build_book.py", "tiny", "train-overhead-0.01"])
    assert build_book.main() == 1
    message = capsys.readouterr().err
    assert "notebooks/train-overhead-0.01" in message
    assert "notebooks/rd" in message


# --- One notebook -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("quick", "quick"),
        ("0.013", 0.013),
        ("1e-05", 1e-05),
        ("3", 3),
        ("true", True),
        ("", None),
        ("profiles/my one.yaml", "profiles/my one.yaml"),
        ("[1, 2]", [1, 2]),
    ],
)
def test_a_parameter_is_read_as_what_it_is(text, value):
    read = run_notebook.read_value(text)
    assert read == value
    assert type(read) is type(value)


@pytest.fixture
def run(tmp_path):
    """`run(code, "name=value", …)`: (exit status, standard error, output) of a notebook with these cells."""

    def run(cells, *arguments):
        notebook = nbformat.v4.new_notebook()
        notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
        notebook.cells = [
            nbformat.v4.new_code_cell('profile: str = "quick"  # one', metadata={"tags": ["parameters"]}),
            *map(nbformat.v4.new_code_cell, cells),
        ]
        source, output = tmp_path / "stage.ipynb", tmp_path / "a folder" / "pages" / "stage.ipynb"
        nbformat.write(notebook, source)
        command = [sys.executable, ROOT / "workflow" / "run_notebook.py", source, output, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        return done.returncode, done.stderr, output

    return run


def test_a_notebook_runs_with_its_parameters(run):
    status, _, output = run(["print(profile, lam)"], "profile=smoke", "lam=0.01")
    assert status == 0
    assert "smoke 0.01" in str(nbformat.read(output, 4).cells[-1].outputs)
    assert [path.name for path in output.parent.iterdir()] == ["stage.ipynb"]


def test_a_failure_names_notebook_cell_and_error_and_keeps_what_ran(run):
    status, message, output = run(["first = 1 + 1\nfirst", "\nvalue = {}['no such']\n", "print('never')"])
    assert status == 1
    assert "stage.ipynb stopped at cell [3] (value = {}['no such']): KeyError: 'no such'" in message
    assert "Traceback" not in message
    assert not output.exists(), "a failed page is no page"
    kept = output.parent / "failed" / "stage.ipynb"
    assert f"What ran is kept in {kept}." in message
    outputs = [cell.outputs for cell in nbformat.read(kept, 4).cells if cell.cell_type == "code"]
    assert "2" in str(outputs)
    assert "no such" in str(outputs)
    assert "never" not in str(outputs)
    # What is mended leaves no trace of the failure.
    status, _, output = run(["first = 1"])
    assert status == 0
    assert not kept.exists()


def test_a_kernel_that_dies_is_a_failure_that_keeps_what_ran(run):
    status, message, output = run(["print('before')", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"])
    assert status == 1
    assert "stage.ipynb stopped: DeadKernelError" in message
    assert not output.exists()
    kept = output.parent / "failed" / "stage.ipynb"
    assert "before" in str(nbformat.read(kept, 4).cells)


# --- The DAG ----------------------------------------------------------------------------------------------


def planned(tmp_path, *arguments):
    """Snakemake with these arguments, in a folder of its own."""
    start = (sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow" / "Snakefile", "--directory", tmp_path)
    environment = {**os.environ, "SATSTUDY_BUILD": str(tmp_path / "a build")}
    return subprocess.run([*start, *arguments], capture_output=True, text=True, env=environment)


def dry_run(tmp_path, *config, profile=None):
    where = ("--profile", profile) if profile else ("--cores", "2")
    done = planned(tmp_path, *where, "--dry-run", "--printshellcmds", "--config", *config)
    return done.returncode, done.stdout + done.stderr


def test_a_ladder_is_trained_one_after_the_other(tmp_path):
    status, text = dry_run(tmp_path, "profile=paper")
    assert status == 0, text
    classifiers = re.findall(r"wildcards: classifier=(.+)", text)
    assert sorted(classifiers) == sorted(profiles.load("paper").accuracy.classifiers), "one job a classifier"
    blocks = re.findall(r"rule train:\n\s+input: (.*)\n\s+output: (.*)\n", text)
    pages = {output.rpartition("/")[2]: inputs.rpartition("/")[2] for inputs, output in blocks}
    assert len(pages) == 12
    for domain in ("overhead", "natural"):
        page = "train-{}-{}.ipynb".format
        assert "train" not in pages[page(domain, 0.0067)], "the middle one comes first"
        for lam, before in ((0.0025, 0.0067), (0.0008, 0.0025), (0.0001, 0.0008), (0.013, 0.0067), (0.03, 0.013)):
            assert pages[page(domain, lam)] == page(domain, before)


def test_the_graph_of_rules_is_the_one_that_is_drawn(tmp_path):
    """`REPRODUCING.md` draws it by hand, for pages that show Mermaid."""
    done = planned(tmp_path, "--cores", "2", "--rulegraph", "dot", "--config", "profile=smoke")
    done.check_returncode()
    dot = done.stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', dot))
    edges = {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", dot)} - {("train", "train")}
    drawn = set()
    (block,) = re.findall(r"```mermaid\n(.*?)```", (ROOT / "REPRODUCING.md").read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()[1:]:
        rules = [re.sub(r"\[.*\]", "", part).strip() for part in line.split("-->")]
        drawn |= set(itertools.pairwise(rules))
    assert drawn == edges


@pytest.mark.parametrize("executor", ["slurm", "kubernetes"])
def test_the_workflow_is_planned_for_a_cluster(tmp_path, executor):
    """What a scheduler is asked for; no job is sent. A checkout without the extra `cluster` skips this."""
    pytest.importorskip(f"snakemake_executor_plugin_{executor}")
    cluster = ROOT / "workflow" / "profiles" / executor
    status, text = dry_run(tmp_path, "profile=smoke", "gpu=1", "threads=8", profile=cluster)
    assert status == 0, text
    assert re.search(r"wildcards: domain=overhead, lam=0.01\n.*\n?.*resources: .*gpu=1, .*mem_mb=32000", text)
    assert text.count("rule classifier:") == len(profiles.load("smoke").accuracy.classifiers)


def test_a_profile_is_found_from_any_folder_by_a_path_with_spaces(tmp_path):
    content = yaml.safe_load((paths.PROFILES / "smoke.yaml").read_text())
    content["name"], content["train"]["lams"] = "mine", [0.00001, 0.013]
    (tmp_path / "my own.yaml").write_text(yaml.safe_dump(content))
    status, text = dry_run(tmp_path, "profile=my own.yaml")
    assert status == 0, text
    assert f"'profile={tmp_path}/my own.yaml'" in text
    assert "lam=1e-05 domain=overhead" in text
    assert f"'{tmp_path}/a build/mine/notebooks/rd.ipynb'" in text


def test_an_unknown_profile_is_said_by_the_workflow(tmp_path):
    status, text = dry_run(tmp_path, "profile=quik")
    assert status == 1
    assert "There is no profile 'quik': did you mean quick?" in text


# --- Setting up -------------------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path):
    """A copy of what `setup.sh` needs, and a PATH that has the tools of a bare machine and no Python."""
    root, tools = tmp_path / "check out", tmp_path / "bin"
    (root / "workflow").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(ROOT / "workflow" / "setup.sh", root / "workflow")
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "requirements.lock").write_text("uv==1.2.3 \\\n    --hash=sha256:0\n")
    for tool in ("sh", "dirname", "cat", "cksum", "df", "awk", "sed", "rm"):
        (tools / tool).symlink_to(shutil.which(tool))
    return root, tools


def install(bare, **environment):
    root, tools = bare
    return subprocess.run(
        [shutil.which("sh"), root / "workflow" / "setup.sh"],
        capture_output=True,
        text=True,
        env={"PATH": str(tools), **environment},
    )


def fake(path, body):
    path.write_text(f"#!{shutil.which('sh')}\n{body}\n")
    path.chmod(0o755)
    return str(path)


def refused(bare, done) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("setup: ")
    assert not (bare[0] / ".venv").exists()
    return line


def test_no_python_is_one_sentence_and_nothing_made(bare):
    assert "no Python 3.11 or 3.12 was found" in refused(bare, install(bare))


def test_a_wrong_python_is_one_sentence_and_nothing_made(bare):
    wrong = fake(bare[1] / "python-of-old", "exit 1")
    line = refused(bare, install(bare, PYTHON=wrong))
    assert wrong in line
    assert "no Python 3.11 or 3.12" in line
    # A wrong one that is merely found is passed over.
    fake(bare[1] / "python3", "exit 1")
    assert "was found" in refused(bare, install(bare))


def test_a_wrong_python_leaves_an_environment_that_is_there(bare):
    old = bare[0] / ".venv" / "keep"
    old.parent.mkdir()
    old.touch()
    assert install(bare, PYTHON=fake(bare[1] / "wrong", "exit 1")).returncode == 1
    assert old.exists()


def test_a_python_that_makes_no_environments_names_the_package(bare):
    python = fake(bare[1] / "python3.12", 'case "$1" in -m) exit 1;; esac')
    done = install(bare, PYTHON=python)
    assert "python3-venv" in refused(bare, done)


def test_a_full_disk_is_one_sentence(bare):
    (bare[1] / "df").unlink()
    fake(bare[1] / "df", "echo head; echo disk 1 1 3000000 1% /")
    assert "3 GB are free here" in refused(bare, install(bare, PYTHON=fake(bare[1] / "python3", "exit 0")))


def test_a_lock_without_the_installer_is_one_sentence(bare):
    (bare[0] / "requirements.lock").write_text("numpy==1.26.4\n")
    assert "does not name uv" in refused(bare, install(bare, PYTHON=fake(bare[1] / "python3", "exit 0")))


def test_what_is_installed_is_not_installed_again(bare):
    root, _ = bare
    (root / ".venv" / "bin").mkdir(parents=True)
    # The environment's own Python says yes to the question for its version, and fails at all else.
    fake(root / ".venv" / "bin" / "python", 'case "$1" in -c) exit 0;; *) exit 3;; esac')
    both = b"".join((root / name).read_bytes() for name in ("requirements.lock", "pyproject.toml"))
    stamp = subprocess.run(["cksum"], input=both, capture_output=True, check=True).stdout
    (root / ".venv" / "installed").write_bytes(stamp)
    done = install(bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (root / "requirements.lock").write_text("uv==1.2.4 \\\n")
    assert install(bare).returncode == 1, "another lock is installed"


def test_make_explains_every_target():
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    text = subprocess.run([make, "-C", ROOT, "help"], capture_output=True, text=True, check=True).stdout
    for target in ("help", "setup", "report", "test", "lab", "lint", "bench", "reference", "clean"):
        assert re.search(rf"^  make {target}\s+\S", text, re.MULTILINE), target
