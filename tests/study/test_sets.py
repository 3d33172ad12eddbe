"""Sets of images: mosaics of one class, validation scenes by name, places."""

import numpy as np
import pytest
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.study import sets


def test_mosaics_are_the_first_whole_tiles_from_a_number_on(tmp_path):
    (tmp_path / "port").mkdir()
    for number in range(20):
        side = 255 if number == 5 else 256
        Image.fromarray(np.full((side, 256, 3), 10 * number, np.uint8)).save(tmp_path / "port" / f"port{number:02}.png")
    ((name, image, place),) = sets.images_of("mosaics", tmp_path, first=2)
    assert (name, place, image.shape) == ("port-mosaic", "port", (1024, 1024, 3))
    numbers = [2, 3, 4, *range(6, 19)]
    assert (image[::256, ::256, 0] // 10).ravel().tolist() == numbers
    with pytest.raises(InputError, match="no image of the set mosaics"):
        sets.images_of("mosaics", tmp_path, first=10)


def test_a_scene_is_on_one_side_of_the_split():
    assert sets.scene("neon", "data-SJER-2017-SJER-012") == sets.scene("neon", "data-SJER-SJER-012") == "SJER-SJER-012"
    stems = [f"a-training-input-img-{number}" for number in range(200)]
    sides = {}
    for stem in stems:
        sides.setdefault(sets.scene("massachusetts", stem), set()).add(sets.is_validation("massachusetts", stem))
    assert len(sides) == 10
    assert all(len(side) == 1 for side in sides.values())
    share = np.mean([sets.is_validation("earthart", f"scene-{k}") for k in range(2000)])
    assert share == pytest.approx(0.2, abs=0.04)


def test_the_validation_scenes_of_a_set_are_measured_alone(tmp_path):
    for k in range(30):
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / f"scene-{k}.png")
    found = sets.images_of("earthart", tmp_path)
    assert 0 < len(found) < 15
    assert all(sets.is_validation("earthart", place) and name == f"{place}.png" for name, _, place in found)
