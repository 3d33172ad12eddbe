"""Names in and out, weights, and the choice of a rate."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satstudy.cli import coding
from satstudy.cli.coding import Pair
from satstudy.codecs.base import closest_rate
from satstudy.codecs.learned import checkpoint
from satstudy.core import paths
from satstudy.core.errors import DamagedFile, InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("in/a.png", "in/sub/b.TIF", "in/sub/deep/c.jpeg", "in/notes.txt", "in/.hidden.png", "sat/x/y.sat"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_one_file_is_one_pair(folder):
    assert coding.pairs(folder / "in/a.png", folder / "z.sat", ".sat") == [Pair(folder / "in/a.png", folder / "z.sat")]


def test_a_folder_is_mirrored(folder):
    made = coding.pairs(folder / "in", folder / "out", ".sat")
    assert [pair.target.relative_to(folder).as_posix() for pair in made] == [
        "out/a.sat",
        "out/sub/b.sat",
        "out/sub/deep/c.sat",
    ]
    assert not (folder / "out").exists()
    back = coding.pairs(folder / "sat", folder / "out", ".tif")
    assert back == [Pair(folder / "sat/x/y.sat", folder / "out/x/y.tif")]
    (folder / "sat/x/.y-1.tmp.sat").write_bytes(b"")
    assert coding.pairs(folder / "sat", folder / "out", ".tif") == back


@pytest.mark.parametrize(
    ("source", "target", "ending", "words"),
    [
        ("nope", "out", ".sat", "no file or folder"),
        ("in/a.png", "sat", ".sat", "is a folder"),
        ("in/a.png", "in/../in/a.png", ".sat", "is the input itself"),
        ("in/a.png", "nope/a.sat", ".sat", "There is no folder"),
        ("in/a.png", "in/notes.txt/a.sat", ".sat", "There is no folder"),
        ("in", "in/a.png", ".sat", "is a file"),
        ("in", "nope/out", ".sat", "There is no folder"),
        ("sat", "out", ".sat", r"sat: No image"),
        ("in", "out", ".png", "holds no .sat file"),
        ("sat", "sat", ".png", "original images"),
    ],
)
def test_names_that_do_not_work_are_refused(folder, source, target, ending, words):
    with pytest.raises(InputError, match=words):
        coding.pairs(folder / source, folder / target, ending)


def test_two_files_never_become_one(folder):
    (folder / "in/a.webp").write_bytes(b"")
    with pytest.raises(InputError, match=r"Several files would become .*a\.sat"):
        coding.pairs(folder / "in", folder / "out", ".sat")


def test_a_link_to_the_input_is_the_input(folder):
    (folder / "link.sat").symlink_to(folder / "in/a.png")
    with pytest.raises(InputError, match="input itself"):
        coding.pairs(folder / "in/a.png", folder / "link.sat", ".sat")


def test_a_folder_without_rights_is_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(InputError, match="cannot be written to"):
        coding.pairs(folder / "in/a.png", folder / "a.sat", ".sat")


@pytest.mark.parametrize("name", ["a.png", "a.TIF", "w.safetensors"])
def test_the_names_of_images_and_weights_are_kept_for_them(folder, name):
    with pytest.raises(InputError, match=r"name it \.sat"):
        coding.check_compressed_name(folder / name)
    coding.check_compressed_name(folder / "a.sat")
    coding.check_compressed_name(folder / "a")


def test_mapped_bytes_are_those_of_the_file(tmp_path):
    for content in (b"", b"some bytes"):
        (tmp_path / "a").write_bytes(content)
        assert bytes(coding.mapped(tmp_path / "a")) == content
    with pytest.raises(InputError, match="no file"):
        coding.mapped(tmp_path / "b")
    with pytest.raises(InputError, match="cannot be read"):
        coding.mapped(tmp_path)


def test_errors_name_the_file_once(tmp_path):
    with pytest.raises(DamagedFile, match=r"^.*/a: It is damaged\.$"), coding.about(tmp_path / "a"):
        raise DamagedFile("It is damaged.")
    with pytest.raises(InputError, match=r"^There is no .*/a\.$"), coding.about(tmp_path / "a"):
        raise InputError(f"There is no {tmp_path / 'a'}.")


def test_weights_are_found_by_lam_path_and_fingerprint(tmp_path, make_model, monkeypatch):
    monkeypatch.setattr(paths, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match="No weights for overhead images ship"):
        coding.weights()
    for lam in ("0.002", "0.006", "0.05"):
        checkpoint.save(tmp_path / f"{lam}.safetensors", make_model(int(lam[2:])), {"N": "8", "M": "12", "lam": lam})
    assert coding.weights().lam == 0.006
    assert coding.weights(0.05).lam == 0.05
    assert coding.weights(path=tmp_path / "0.002.safetensors").lam == 0.002
    with pytest.raises(InputError, match=r"--lam 0\.01: take one of 0\.002, 0\.006, 0\.05"):
        coding.weights(0.01)
    with pytest.raises(InputError, match="natural"):
        coding.shipped("natural")

    from satstudy.codecs import LearnedCodec

    assert coding.matching(LearnedCodec(coding.weights(0.05)).fingerprint).lam == 0.05
    with pytest.raises(InputError, match="0000000000000000, which do not ship"):
        coding.matching(bytes(8))


def test_the_default_is_the_shipped_lam_nearest_to_a_hundredth():
    assert coding.DEFAULT_LAM == 0.01


@given(rates=st.lists(st.floats(0.01, 5), min_size=1, max_size=20, unique=True), wanted=st.floats(0.001, 9))
def test_the_closest_rate_is_found_with_few_trials(rates, wanted):
    rates.sort()
    asked = set()

    def rate(index):
        asked.add(index)
        return rates[index]

    found = closest_rate(rate, len(rates), wanted)
    assert abs(rates[found] - wanted) == min(abs(r - wanted) for r in rates)
    assert len(asked) <= len(rates).bit_length() + 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.sat")
    with pytest.raises(InputError, match="no regular file"):
        coding.check_target(tmp_path / "pipe.sat", tmp_path / "a.png")
