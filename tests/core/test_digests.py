"""Digests differ when a fact does, and are the same tomorrow."""

import os
import shutil
from pathlib import Path

from satstudy.core.digests import content, digest


def test_a_digest_is_of_the_values_alone():
    assert digest({"b": 1, "a": (2, None)}, 0.01) == digest({"a": [2, None], "b": 1}, 1e-2)
    assert len({digest(), digest(1), digest("1"), digest(1, 2), digest([1, 2]), digest(1.5)}) == 6
    assert digest(Path("a")) == digest("a")


def test_digests_of_another_day_name_the_same_things():
    """Folders of finished trainings are found by them."""
    assert digest(0.013, "overhead", {"steps": 10000, "lr": 0.002}, None) == "fb335496"


def test_content_is_that_of_the_file_wherever_it_lies(tmp_path):
    (tmp_path / "a").write_bytes(b"some weights")
    shutil.copy(tmp_path / "a", tmp_path / "b")
    before = content(tmp_path / "a")
    assert before == content(tmp_path / "b")
    (tmp_path / "a").write_bytes(b"other weights")
    os.utime(tmp_path / "a", ns=(1, 1))
    assert content(tmp_path / "a") != before


def test_where_there_is_no_file_content_is_the_text():
    assert content("d0d0cafe") == "d0d0cafe"
    assert content(None) == "random"
