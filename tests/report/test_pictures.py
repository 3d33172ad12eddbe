"""satstudy.report.pictures: lossless, and no file is trusted."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.report import pictures


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_pictures_come_back_as_they_were(tmp_path):
    path = tmp_path / "crops.json"
    given = {"original": noise(9, 7), "JPEG": noise(1, 1, 1)}
    pictures.save(path, given, {"rates": [0.1, np.float64(0.5)], "place": "harbor00"})
    found, facts = pictures.load(path)
    assert list(found) == list(given)
    assert all((found[name] == given[name]).all() for name in given)
    assert facts == {"rates": [0.1, 0.5], "place": "harbor00"}


def test_the_same_pictures_give_the_same_file(tmp_path):
    for name in ("a", "b"):
        pictures.save(tmp_path / name, {"x": noise(8, 8)}, {})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def png(mode, size):
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps({"facts": {}, "png": {"x": "no base64!"}}),
        json.dumps({"facts": {}, "png": {"x": base64.b64encode(b"no PNG").decode()}}),
        json.dumps({"facts": {}, "png": {"x": png("RGBA", (2, 2))}}),
        json.dumps({"facts": {}, "png": {"x": png("RGB", (4000, 4000))}}),
        json.dumps({"facts": {}, "png": ["x"]}),
    ],
)
def test_what_holds_no_pictures_is_refused(tmp_path, text):
    path = tmp_path / "crops.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"crops\.json holds no pictures"):
        pictures.load(path)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="run the notebook"):
        pictures.load(tmp_path / "none.json")
