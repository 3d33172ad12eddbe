"""What is installed: pyproject.toml, requirements.lock and environment.yml say the same."""

import re
import shutil
import subprocess
import tomllib

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from satstudy import __version__
from satstudy.core import paths

ROOT = paths.PACKAGE.parent
TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
GROUPS = {"dependencies": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
WANTED = [Requirement(line) for group in GROUPS.values() for line in group]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def entries() -> list[tuple[Requirement, list[str]]]:
    """(requirement, its hashes) of each entry of the lock, continued lines joined."""
    found = []
    for line in LOCK.replace("\\\n", " ").splitlines():
        if line.strip():
            requirement, *hashes = line.split(" --hash=")
            found.append((Requirement(requirement.strip()), [text.strip() for text in hashes]))
    return found


LOCKED = entries()
VERSIONS: dict[str, list[Version]] = {}
for _requirement, _ in LOCKED:
    VERSIONS.setdefault(canonicalize_name(_requirement.name), []).extend(
        Version(specifier.version) for specifier in _requirement.specifier
    )


@pytest.mark.parametrize("requirement", WANTED, ids=lambda r: r.name)
def test_the_lock_has_every_dependency_at_a_version_that_fits(requirement):
    versions = VERSIONS.get(canonicalize_name(requirement.name), [])
    assert versions, f"{requirement.name} is not in requirements.lock: run make lock"
    for version in versions:
        assert version in requirement.specifier, f"{requirement} against {version}: run make lock"


def test_the_lock_pins_each_entry_and_has_its_hashes():
    assert len(LOCKED) > 100
    for requirement, hashes in LOCKED:
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement.name
        assert hashes, f"{requirement.name} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", text) for text in hashes), requirement.name
        assert requirement.url is None


def test_the_lock_names_no_registry_and_no_folder():
    for word in ("http:", "https:", "//", "index", "find-links", "trusted-host", "file:", " @ ", "-e "):
        assert word not in LOCK, word


def test_the_lock_fits_every_python_that_is_allowed():
    for minor in (11, 12):
        assert f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])
        environment = {**default_environment(), "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.4"}
        chosen = [r.name for r, _ in LOCKED if r.marker is None or r.marker.evaluate(environment)]
        assert len(chosen) == len(set(chosen)), "one version of each"
        missing = {canonicalize_name(r.name) for r in WANTED} - {canonicalize_name(name) for name in chosen}
        assert not missing, f"a marker leaves out {missing}"
    assert "3.10" not in SpecifierSet(PROJECT["requires-python"])
    assert "3.13" not in SpecifierSet(PROJECT["requires-python"])


def test_numpy_is_a_version_that_compressai_is_built_against():
    assert all(version.major == 1 for version in VERSIONS["numpy"])


def test_setup_finds_uv_in_the_lock():
    assert re.search(r"^uv==[^ ]+ ", LOCK, re.MULTILINE)


def test_conda_installs_the_lock_on_an_allowed_python():
    packages = [item for item in CONDA["dependencies"] if isinstance(item, str)]
    (pip,) = [item["pip"] for item in CONDA["dependencies"] if isinstance(item, dict)]
    assert pip == ["-r requirements.lock"]
    assert {"openjpeg", "pip"} <= set(packages)
    (python,) = [item.split("=", 1)[1].lstrip("=") for item in packages if item.startswith("python")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0" if python.count(".") == 1 else python)
    assert CONDA["channels"] == ["conda-forge"]
    assert CONDA["name"] == PROJECT["name"]


def test_one_version_everywhere():
    assert __version__ == PROJECT["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation.get("version", __version__)) == __version__


@pytest.mark.parametrize("requirement", WANTED, ids=lambda r: r.name)
def test_every_dependency_has_a_reason_beside_it(requirement):
    lines = TEXT[TEXT.index("[project]") : TEXT.index("[project.scripts]")].splitlines()
    (at,) = [i for i, line in enumerate(lines) if re.search(rf'"{re.escape(requirement.name)}(?![\w.-])', line)]
    reason = lines[at].partition("#")[2]
    if "= [" in lines[at]:  # an extra of one package, with the comment above it
        reason = lines[at - 1].partition("#")[2]
    assert len(reason.split()) >= 2, f"why {requirement.name}?"


@pytest.mark.parametrize("name", ["build/x", ".venv/x", ".snakemake/x", "data/x", "notebooks/.ipynb_checkpoints/x"])
def test_git_ignores_what_is_made(name):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "-C", ROOT, "check-ignore", "-q", name])
    assert done.returncode == 0


def test_git_keeps_what_a_clone_needs():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    for name in (
        "notebooks/rd.ipynb",
        "results/reference/rd.csv",
        "satstudy/weights/x.safetensors",
        "requirements.lock",
    ):
        done = subprocess.run(["git", "-C", ROOT, "check-ignore", "-q", name])
        assert done.returncode == 1, name
