"""Sets of images: mosaics of one class, validation scenes by name, places."""

import numpy as np
import pytest
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.data import sensors
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


def test_the_validation_scenes_of_a_set_are_measured_alone(tmp_path):
    for k in range(30):
        (tmp_path / "earthart").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "earthart" / f"scene-{k}.png")
    found = sets.images_of("earthart", tmp_path / "earthart")
    assert 0 < len(found) < 15
    assert all(sensors.measured(path) and place == f"earthart/{path.stem}" for _, path, place in found)
