"""The list of all files, read with care, and choices among it."""

import bz2
import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.data import download
from satstudy.data.download import check_path, choose, is_large, read_manifest_list


def files(split: str, category: str, objects: int, images: int = 2) -> list[str]:
    return [
        f"{split}/{category}/{category}_{o}/{category}_{o}_{t}_{kind}.{ending}"
        for o in range(objects)
        for t in range(images)
        for kind in ("rgb", "msrgb")
        for ending in ("jpg", "json")
    ]


LIST = [*files("train", "zoo", 6), *files("train", "multi-unit_residential", 3), *files("val", "zoo", 4), "LICENSE"]


def listing(path, names=LIST, **options):
    (path / "m.bz2").write_bytes(bz2.compress(json.dumps(names, **options).encode()))
    return read_manifest_list(path / "m.bz2")


@pytest.mark.parametrize("options", [{}, {"indent": 1}, {"separators": (",", ":")}])
def test_images_with_their_json_are_read(tmp_path, monkeypatch, options):
    monkeypatch.setattr(download, "CHUNK", 100)  # names are cut by the ends of pieces
    lonely = [name for name in LIST if name != "train/zoo/zoo_0/zoo_0_0_rgb.json"]
    found = listing(tmp_path, lonely, **options)
    assert {key: len(codes) for key, codes in found.items()} == {
        ("train", "zoo"): 11,
        ("train", "multi-unit_residential"): 6,
        ("val", "zoo"): 8,
    }
    assert listing(tmp_path, []) == {}


def test_a_list_of_a_million_lines_needs_little_memory(tmp_path):
    """Counted in a process of its own: the list alone, as Python's strings, would take some 120 MB."""
    lines = [f'"{name}", ' for name in files("train", "airport_hangar", 1250)]
    assert len(lines) == 10_000
    piece = bz2.compress("".join(lines).encode())  # streams may follow each other
    (tmp_path / "m.bz2").write_bytes(bz2.compress(b"[") + 100 * piece + bz2.compress(b'"LICENSE"]'))
    code = (
        "import resource, sys; from satstudy.data.download import read_manifest_list as read\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = used(); found = read(sys.argv[1]); print(used() - before, sum(map(len, found.values())))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.bz2")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (paths.PACKAGE.parent, *sys.path)))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    mebibytes, images = done.stdout.split()
    assert int(images) == 2500
    assert float(mebibytes) < 60


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no bzip2", "no readable list"),
        (bz2.compress(b"[1, 2"), "no readable list"),
        (bz2.compress(b'["a.jpg"]')[:-5], "no readable list"),
        (bz2.compress(b"[" * 100_000), "no readable list"),
        (bz2.compress(b'{"a": 1}'), "no flat list"),
        (bz2.compress(b'["a", 1]'), "no flat list"),
        (bz2.compress(b'["a", "../b"]'), "no plain path"),
        (bz2.compress(b'["train/zoo/../../../etc/zoo_0_0_rgb.jpg"]'), "no plain path"),
        (bz2.compress(b'["/etc/passwd", "a"]'), "no plain path"),
        (bz2.compress(b'"' + b"x" * 200_000 + b'"'), "unpacks to more than 100000 bytes"),
        (bz2.compress(b'["a"] "b"'), "no readable list"),
        (bz2.compress(b'["a", ["b"], "c"]'), "no flat list"),
    ],
)
def test_a_damaged_or_hostile_list_is_refused(tmp_path, data, message):
    (tmp_path / "m.bz2").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_manifest_list(tmp_path / "m.bz2", max_bytes=100_000)


def test_no_list(tmp_path):
    with pytest.raises(InputError, match=r"fetch manifest\.json\.bz2 first"):
        read_manifest_list(tmp_path / "m.bz2")


@pytest.mark.parametrize("name", ["", "/a", "..", "a/../b", "a/..", "a\\..\\b", "C:a", "a\nb", "a//b", "./a", "a/"])
def test_paths_that_could_leave_the_folder_are_refused(name):
    with pytest.raises(InputError, match="no plain path"):
        check_path(name)


@given(st.text(max_size=12))
def test_a_path_that_passes_stays_below_its_folder(name):
    from pathlib import Path

    try:
        check_path(name)
    except InputError:
        return
    assert Path("/root", name).resolve().is_relative_to("/root/")
    assert Path("/root", name) != Path("/root")


# --- The choice ------------------------------------------------------------------------------------------------------


class Sizes:
    """Stands for JSON files: which images are large, and how many were asked for."""

    def __init__(self, share: float = 1.0):
        self.share, self.asked = share, []

    def __call__(self, images):
        self.asked += images
        return self.large(images)

    def large(self, images):
        return [name for name in images if np.random.default_rng([*name.encode()]).random() < self.share]


def category(name: str) -> str:
    return name.split("/")[1]


def place(name: str) -> str:
    return name.split("/")[2]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    names = [name for c, count in (("zoo", 40), ("port", 40), ("dam", 3)) for name in files("train", c, count, 4)]
    return listing(tmp_path_factory.mktemp("list"), names)


def test_the_choice_is_even_and_by_objects_and_asks_no_more_than_it_needs(many):
    sizes = Sizes(0.3)
    chosen = choose(many, "train", 40, sizes)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(sizes.large(sizes.asked)), "large ones alone"
    found = Counter(map(category, chosen))
    supply = len([name for name in set(sizes.large(sizes.asked)) if category(name) == "dam"])
    assert found["dam"] == min(supply, 14), "all that there is, since that is less than a share"
    assert abs(found["zoo"] - found["port"]) <= 1
    assert sum(found.values()) == 40
    assert len(set(sizes.asked)) < sum(map(len, many.values()))
    large_of = Counter(map(place, set(sizes.large(sizes.asked))))
    whole = [name for name, count in Counter(map(place, chosen)).items() if count == large_of[name]]
    assert len(whole) >= len(set(map(place, chosen))) - 3, "of the last object of a category a part may do"


def test_the_choice_depends_on_seed_and_names_alone(many):
    chosen = choose(many, "train", 12, Sizes(0.5))
    assert choose(dict(reversed(many.items())), "train", 12, Sizes(0.5)) == chosen
    assert choose(many, "train", 12, Sizes(0.5), seed=1) != chosen
    apart = choose(many, "train", 12, Sizes(0.5), per_object=1)
    assert max(Counter(map(place, apart)).values()) == 1
    assert set(map(category, choose(many, "train", 8, Sizes(), ["zoo"]))) == {"zoo"}


def test_what_cannot_be_chosen_is_said(many):
    with pytest.raises(InputError, match="no train image of airport, lake"):
        choose(many, "train", 5, Sizes(), ["lake", "zoo", "airport"])
    with pytest.raises(InputError, match="no val image of any category"):
        choose(many, "val", 5, Sizes())
    with pytest.raises(InputError, match="Of 500 train images that are asked for, 332 are large enough"):
        choose(many, "train", 500, Sizes())


def test_an_image_is_large_by_both_sides_in_its_json(tmp_path):
    sizes = {"a": (1024, 1024), "b": (1023, 4000), "c": (2000, None), "d": ("far", 2000)}
    for stem, (height, width) in sizes.items():
        (tmp_path / f"{stem}.json").write_text(json.dumps({"img_height": height, "img_width": width}))
    (tmp_path / "e.json").write_text("[")
    assert [stem for stem in "abcdef" if is_large(tmp_path, stem, 1024)] == ["a"]
