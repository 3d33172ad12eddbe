"""Digests differ when a fact does, and are the same tomorrow."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from satstudy.core.digests import digest, file_digest


def test_a_digest_is_of_the_values_alone():
    assert digest({"b": 1, "a": (2, None)}, 0.01) == digest({"a": [2, None], "b": 1}, 1e-2)
    assert len({digest(), digest(1), digest("1"), digest(1, 2), digest([1, 2]), digest(1.5)}) == 6
    assert digest(Path("a")) == digest("a")


def test_digests_of_another_day_name_the_same_things():
    """Folders of finished trainings are found by them."""
    assert digest(0.013, "overhead", {"steps": 10000, "lr": 0.002}, None) == "fb335496"


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, "U3"])
def test_arrays_and_bytes_count_by_their_content(dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    assert digest(array) == digest(array.copy()) == digest(np.asfortranarray(array))
    assert len({digest(array), digest(array[::-1]), digest(array.reshape(4, 3)), digest(array.astype("S3"))}) == 4
    assert digest(b"one") == digest(bytes(bytearray(b"one"))) != digest(b"two")


def test_a_digest_is_as_long_as_asked_for():
    assert digest(1, length=64).startswith(digest(1, length=12))
    assert [len(digest(1, length=n)) for n in (8, 12, 64)] == [8, 12, 64]


def test_a_file_counts_by_its_bytes_wherever_it_lies(tmp_path):
    (tmp_path / "a").write_bytes(b"some weights")
    shutil.copy(tmp_path / "a", tmp_path / "b")
    before = file_digest(tmp_path / "a")
    assert before == file_digest(tmp_path / "b") == hashlib.sha256(b"some weights").hexdigest()
    (tmp_path / "a").write_bytes(b"other weights")
    os.utime(tmp_path / "a", ns=(1, 1))
    assert file_digest(tmp_path / "a") != before
