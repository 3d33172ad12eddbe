"""Synthetic scenes: the same pixels from the same seed, boxes and JSON as fMoW's, and textures like nature's."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.data.fmow import FMOW_CATEGORIES
from satstudy.data.synthetic.canvas import Canvas
from satstudy.data.synthetic.light import shadows
from satstudy.data.synthetic.scene import _DRAWN, CATEGORIES, GENERATOR_VERSION, draw
from satstudy.data.synthetic.tree import plan, write_tree
from satstudy.data.synthetic.view import View, random_view

SMALL = (160, 160)


def _view(seed: int, gsd: float = 3.0) -> View:
    return random_view(np.random.default_rng(seed), gsd, 40.0, 0.2, (seed,))


def test_categories_are_fmows() -> None:
    assert len(CATEGORIES) == 10
    assert set(CATEGORIES) <= set(FMOW_CATEGORIES)
    assert list(CATEGORIES) == sorted(CATEGORIES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_is_drawn_within_its_image(category: str) -> None:
    for index in range(2):
        scene = draw(category, index, 0, seed=5, size=(128, 128))
        assert scene.image.shape == (128, 128, 3)
        assert scene.image.dtype == np.uint8
        assert scene.image.std() > 5
        for x, y, w, h in scene.boxes:
            assert 0 <= x < x + w <= 128
            assert 0 <= y < y + h <= 128
            assert w >= 3
            assert h >= 3


def test_same_arguments_same_pixels_in_any_order() -> None:
    asked = [("race_track", 0, 0), ("port", 1, 2), ("race_track", 0, 1)]
    forward = {key: draw(*key, seed=3, size=SMALL) for key in asked}
    backward = {key: draw(*key, seed=3, size=SMALL) for key in reversed(asked)}
    for key in asked:
        assert np.array_equal(forward[key].image, backward[key].image)
        assert forward[key].metadata == backward[key].metadata


def test_seed_split_object_and_view_each_change_the_image() -> None:
    base = draw("railway_bridge", 0, 0, seed=0, size=SMALL)
    others = [
        draw("railway_bridge", 0, 0, seed=1, size=SMALL),
        draw("railway_bridge", 0, 0, seed=0, size=SMALL, split="train"),
        draw("railway_bridge", 1, 0, seed=0, size=SMALL),
        draw("railway_bridge", 0, 1, seed=0, size=SMALL),
    ]
    for other in others:
        assert not np.array_equal(base.image, other.image)


@pytest.mark.parametrize("category", CATEGORIES)
def test_layout_takes_nothing_from_the_view(category: str) -> None:
    """The object's generator ends in one state whatever the season and the sun, so all views share its ground."""
    for index in range(4):
        states = set()
        for view in range(4):
            canvas, rng = Canvas(64, 64, _view(view)), np.random.default_rng(index)
            _DRAWN[category].draw(canvas, rng, 120.0)
            states.add(rng.bit_generator.state["state"]["state"])
        assert len(states) == 1


def test_views_of_an_object_show_the_same_ground() -> None:
    def place(view: int) -> NDArray[Any]:
        scene = draw("lake_or_pond", 2, view, seed=1, size=SMALL)
        x, y, w, h = scene.boxes[0]
        return np.array([x + w / 2, y + h / 2])

    centres = [place(view) for view in range(3)]
    for centre in centres[1:]:
        assert np.hypot(*(centre - centres[0])) < 0.1 * SMALL[0]


def test_size_changes_the_sampling_and_not_the_field() -> None:
    small, large = (draw("aquaculture", 0, 0, size=(side, side)) for side in (128, 256))
    assert small.metadata["gsd"] == pytest.approx(2 * large.metadata["gsd"], rel=1e-3)
    assert np.allclose(2 * np.array(small.boxes[0]), large.boxes[0], atol=4)


def test_oblong_images_are_drawn() -> None:
    scene = draw("aquaculture", 0, 0, size=(96, 200))
    assert scene.image.shape == (96, 200, 3)
    assert (scene.metadata["img_height"], scene.metadata["img_width"]) == (96, 200)


def test_metadata_has_the_fields_of_fmow() -> None:
    scene = draw("crop_field", 4, 1, seed=9, size=SMALL)
    found = json.loads(json.dumps(scene.metadata))
    assert found["synthetic"] is True
    assert found["generator"] == GENERATOR_VERSION
    assert found["seed"] == 9
    assert (found["img_width"], found["img_height"]) == (160, 160)
    assert found["country_code"] == "SYN"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["timestamp"])
    assert re.fullmatch(r"\d{1,2}[C-X]", found["utm"])
    assert 0 <= found["cloud_cover"] <= 100
    assert 0 <= found["sun_azimuth_dbl"] < 360
    assert 0 < found["sun_elevation_dbl"] <= 90
    assert 0 <= found["off_nadir_angle_dbl"] < 45
    assert found["gsd"] > 0
    (box,) = found["bounding_boxes"]
    assert box["category"] == "crop_field"
    assert box["visible"] is True
    assert box["ID"] >= 0
    assert box["box"] == list(scene.boxes[0])


def _slope(image: NDArray[Any]) -> float:
    """a where the radially averaged power of the luminance falls as f^-a."""
    grey = image.mean(axis=-1)
    side = grey.shape[0]
    window = np.hanning(side)
    power = np.abs(np.fft.fft2((grey - grey.mean()) * np.outer(window, window))) ** 2
    frequency = np.fft.fftfreq(side)
    ring = np.rint(np.hypot(*np.meshgrid(frequency, frequency)) * side).astype(int).ravel()
    mean = np.bincount(ring, power.ravel()) / np.maximum(1, np.bincount(ring))
    chosen = np.arange(4, int(0.43 * side))
    return float(-np.polyfit(np.log(chosen), np.log(mean[chosen]), 1)[0])


def test_power_spectrum_falls_as_in_natural_images() -> None:
    slopes = [
        _slope(draw(category, 0, 0, seed=2, size=(768, 768)).image[256:512, 256:512])
        for category in ("port", "parking_lot_or_garage", "golf_course", "interchange")
    ]
    assert 1.5 < np.mean(slopes) < 3.5
    assert all(1.0 < slope < 4.5 for slope in slopes)


def test_shadow_lies_away_from_the_sun() -> None:
    view = _view(0, gsd=1.0)
    height = np.zeros((121, 121), np.float32)
    height[58:63, 58:63] = 12
    dark = shadows(height, view) > 0.5
    y, x = np.nonzero(dark)
    away = np.array([x.mean() - 60, y.mean() - 60])
    assert float(away @ view.to_sun) < 0
    assert abs(float(away @ view.to_sun)) > 0.9 * float(np.hypot(*away))
    assert not shadows(np.zeros((20, 20), np.float32), view).any()


@settings(max_examples=8)  # a town takes seconds
@given(
    seed=st.integers(0, 2**31),
    category=st.sampled_from(CATEGORIES),
    index=st.integers(0, 10**6),
    height=st.integers(64, 130),
    width=st.integers(64, 130),
)
def test_any_seed_gives_an_image_with_its_box_inside(
    seed: int, category: str, index: int, height: int, width: int
) -> None:
    scene = draw(category, index, 0, seed, (height, width))
    assert scene.image.shape == (height, width, 3)
    x, y, w, h = scene.boxes[0]
    assert x >= 0
    assert y >= 0
    assert w > 0
    assert h > 0
    assert x + w <= width
    assert y + h <= height


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("castle", 0, 0), "castle"),
        (("port", -1, 0), "negative"),
        (("port", 0, 0, 0, (10, 200)), "64"),
        (("port", 0, 0, 0, (100, 100), "test"), "split"),
    ],
)
def test_unusable_arguments_are_named(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        draw(*arguments)


# The tree


def test_default_plan_has_large_images_and_one_of_1496() -> None:
    images = plan()
    assert {image.category for image in images} == set(CATEGORIES)
    assert [image for image in images if image.size == 1496] == [min(i for i in images if i.split == "val")]
    assert {image.size for image in images} == {1024, 1496}
    assert max(image.view for image in images) >= 1
    assert len(set(images)) == len(images)


def test_plan_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(InputError, match="castle"):
        plan(["castle"])
    with pytest.raises(InputError, match="empty"):
        plan(views=0)
    with pytest.raises(InputError, match="too small"):
        plan(size=8)


PLAN: dict[str, Any] = {
    "categories": ["aquaculture", "crop_field"],
    "train_objects": 1,
    "val_objects": 1,
    "views": 2,
    "size": 64,
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of `PLAN`; not to be changed."""
    root = tmp_path_factory.mktemp("tree") / "scenes"
    assert write_tree(root, **PLAN, progress=False) == 8
    return root


def test_tree_is_laid_out_as_fmow(tree: Path) -> None:
    image = tree / "val" / "aquaculture" / "aquaculture_0" / "aquaculture_0_0_rgb.png"
    with Image.open(image) as opened:
        assert opened.size == (93, 93)  # 64 · 1496 / 1024
        drawn = draw("aquaculture", 0, 0, 0, (93, 93), "val")
        assert np.array_equal(np.asarray(opened), drawn.image)
    assert json.loads(image.with_suffix(".json").read_text()) == drawn.metadata
    assert len(list(tree.rglob("*_rgb.png"))) == len(list(tree.rglob("*_rgb.json"))) == 8
    assert json.loads((tree / "synthetic.json").read_text())["generator"] == GENERATOR_VERSION


def test_tree_is_resumed_and_whole_files_are_kept(tree: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "scenes"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*_rgb.*")}
    lost = root / "train" / "crop_field" / "crop_field_0" / "crop_field_0_1_rgb"
    lost.with_suffix(".png").unlink()
    other = lost.with_name("crop_field_0_0_rgb.json")
    other.unlink()
    assert write_tree(root, **PLAN, progress=False) == 2
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*_rgb.*")}
    assert {path: content for path, (content, _) in before.items()} == {p: content for p, (content, _) in after.items()}
    kept = [path for path in before if "crop_field_0" not in path.name or "train" not in path.parts]
    assert all(before[path][1] == after[path][1] for path in kept)
    assert write_tree(root, **PLAN, progress=False) == 0


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": 80}, {"views": 1}])
def test_a_tree_made_otherwise_is_refused(tree: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        write_tree(tree, **{**PLAN, **change}, progress=False)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="not empty"):
        write_tree(tmp_path, **PLAN, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        write_tree(tmp_path, **PLAN, progress=False)
