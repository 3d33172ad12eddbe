"""satstudy.report.pictures: lossless, and no file is trusted."""

import json

import numpy as np
import pytest
from PIL import Image

from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.report import pictures
from satstudy.report.figures_images import saved_crops, saved_seam


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_pictures_come_back_as_they_were_and_are_plain_png_files(tmp_path):
    given = {"original": noise(9, 7), "jpeg-1": noise(1, 1, 1)}
    pictures.save(tmp_path / "crops", given, {"rates": [0.1, np.float64(0.5)], "place": "harbor00"})
    found, facts = pictures.load(tmp_path / "crops")
    assert list(found) == list(given)
    assert all((found[name] == given[name]).all() for name in given)
    assert facts == {"rates": [0.1, 0.5], "place": "harbor00"}
    with Image.open(tmp_path / "crops" / "original.png") as image:
        assert (np.array(image) == given["original"]).all()


def test_the_same_pictures_give_the_same_files_and_earlier_ones_go(tmp_path):
    for name in ("a", "b"):
        pictures.save(tmp_path / name, {"x": noise(8, 8)}, {})
    pictures.save(tmp_path / "b", {"y": noise(8, 8)}, {})
    first, second = (sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("a", "b"))
    assert (first, second) == (["facts.json", "x.png"], ["facts.json", "y.png"])
    assert (tmp_path / "a" / "x.png").read_bytes() == (tmp_path / "b" / "y.png").read_bytes()


def test_what_is_half_written_is_refused(tmp_path):
    pictures.save(tmp_path, {"x": noise(8, 8)}, {})
    with pytest.raises(AttributeError):
        pictures.save(tmp_path, {"x": noise(8, 8, 1), "y": "no picture"}, {})
    with pytest.raises(InputError, match="run the notebook"):
        pictures.load(tmp_path)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="no name of a picture"):
        pictures.save(tmp_path / "crops", {name: noise(4, 4)}, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps({"facts": {}, "pictures": ["none"]}),
        json.dumps({"facts": {}, "pictures": ["../secret"]}),
        json.dumps({"facts": {}, "pictures": [["x"]]}),
        json.dumps({"facts": {}, "pictures": ["no_png"]}),
        json.dumps({"facts": {}, "pictures": ["transparent"]}),
        json.dumps({"facts": {}, "pictures": ["large"]}),
    ],
)
def test_what_holds_no_pictures_is_refused(tmp_path, text):
    folder = tmp_path / "crops"
    folder.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    (folder / "no_png.png").write_bytes(b"no PNG")
    Image.new("RGBA", (2, 2)).save(folder / "transparent.png")
    Image.new("RGB", (4000, 4000)).save(folder / "large.png")
    (folder / "facts.json").write_text(text)
    with pytest.raises(InputError, match=r"crops holds no pictures"):
        pictures.load(folder)


def test_missing_pictures_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="run the notebook"):
        pictures.load(tmp_path / "none")


@pytest.mark.usefixtures("quiet_figures")
def test_the_pictures_that_are_tracked_draw_their_figures():
    reference = paths.PACKAGE.parent / "results" / "reference"
    if not reference.is_dir():
        pytest.skip("installed without a checkout")
    crops, facts = pictures.load(reference / "crops")
    assert [codec for _, codec, *_ in facts["coded"]] == ["learned"] * 4 + ["jpeg"] * 4
    saved_crops(crops, facts)
    seam, facts = pictures.load(reference / "seam")
    assert {picture.shape for picture in seam.values()} == {(facts["size"], facts["size"], 3)}
    saved_seam(seam, facts)
