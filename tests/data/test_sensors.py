"""satstudy.data.sensors: which scenes of further imagery are measured."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satstudy.core.errors import InputError
from satstudy.data import sensors
from satstudy.data.images import write_image


def test_a_scene_is_on_one_side():
    name = "massachusetts/data-road-segmentation-ideal-subset-cropped-training-input-img-{}.webp"
    for first in (0, 20, 260, 980):
        assert len({sensors.measured(Path(name.format(first + k))) for k in range(20)}) == 1
    for number in range(40):
        one, other = (Path(f"neon/data-SJER-{part}SJER-{number:03}.webp") for part in ("", "2017-"))
        assert sensors.measured(one) == sensors.measured(other)


@given(st.lists(st.from_regex(r"[a-z]{3,12}", fullmatch=True), min_size=1, max_size=5, unique=True))
def test_the_side_follows_from_the_name_alone(names):
    together = {name: sensors.measured(Path("/elsewhere/earthart", f"{name}.webp")) for name in names}
    assert together == {name: sensors.measured(Path("earthart", f"{name}.png")) for name in names}


def test_a_fifth_is_measured():
    share = np.mean([sensors.measured(Path("other", f"scene{i}.png")) for i in range(4000)])
    assert abs(share - 0.2) < 0.03


def test_sets_are_subfolders(tmp_path, picture):
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / name, picture(16, 16))
    found = sensors.sets(tmp_path)
    assert {name: [path.name for path in paths] for name, paths in found.items()} == {
        "a": ["1.png", "2.png"],
        "b": ["3.png"],
    }
    with pytest.raises(InputError, match="no folders of images"):
        sensors.sets(tmp_path / "a")
