"""Files appear whole or not at all."""

import os
import stat
import subprocess

import pytest

from satstudy.core import paths
from satstudy.core.paths import atomic, commit


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "a.csv"
    with atomic(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".csv"
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert [p.name for p in target.parent.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_other(tmp_path, error):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def fail():
        with atomic(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_result_is_as_readable_as_any_other_file(tmp_path):
    before = os.umask(0o022)
    try:
        with atomic(tmp_path / "a") as temporary:
            temporary.write_text("x")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_paths_are_absolute():
    for path in (
        paths.PACKAGE,
        paths.WEIGHTS,
        paths.ROOT,
        paths.NOTEBOOKS,
        paths.PROFILES,
        paths.REFERENCE,
        paths.BUILD,
    ):
        assert path.is_absolute()
    assert (paths.PACKAGE / "core" / "paths.py").is_file()


def test_the_commit_is_named_with_a_plus_when_files_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == "unknown"

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "one")
    clean = commit()
    assert len(clean) >= 10
    assert not clean.endswith("+")
    (tmp_path / "a").write_text("2")
    assert commit() == clean + "+"
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.csv").write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "two")
    (tmp_path / "results" / "table.csv").write_text("2")
    assert commit()[-1] != "+", "results are what a run writes"
