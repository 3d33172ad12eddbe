"""Distortions do what a pipeline may do by mistake, and refuse what they are not."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from satstudy.classification.distortions import DISTORTIONS, Distortion
from satstudy.core.errors import InputError

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
EXAMPLES = {"scale": 0.5, "shift": 8, "zoom": 2, "blur": 1.5, "noise": 40}


def smooth(seed=0):
    rng = np.random.default_rng(seed)
    return np.clip(gaussian_filter(rng.normal(128, 400, (64, 96, 3)), (4, 4, 0)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("word", DISTORTIONS)
@given(st.integers(9, 40), st.integers(9, 40))
@settings(max_examples=10)
def test_the_size_stays_and_the_given_image_too(word, height, width):
    image = IMAGE[:height, :width].copy()
    before = image.copy()
    found = Distortion(word, EXAMPLES.get(word))(image)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert np.array_equal(image, before)
    assert np.array_equal(found, Distortion(word, EXAMPLES.get(word))(before)), "the same again"


def test_swapping_twice_is_nothing():
    swap = Distortion("swap")
    assert np.array_equal(swap(IMAGE)[..., 0], IMAGE[..., 2])
    assert np.array_equal(swap(swap(IMAGE)), IMAGE)


def test_scaling_clips_and_standardising_takes_the_light_away():
    assert np.array_equal(Distortion("scale", 2)(IMAGE), np.minimum(255, IMAGE.astype(int) * 2))
    dark = Distortion("scale", 0.5)(smooth())
    one, other = (Distortion("standardise")(image).astype(float) for image in (smooth(), dark))
    assert np.abs(one - other).mean() < 3
    assert one.mean() == pytest.approx(128, abs=2)


def test_shifting_leaves_black_behind():
    moved = Distortion("shift", 8)(IMAGE)
    assert np.array_equal(moved[8:, 8:], IMAGE[:-8, :-8])
    assert not moved[:8].any()
    assert not moved[:, :8].any()


def test_zooming_shows_the_middle():
    middle = Image.fromarray(IMAGE[10:30, 14:42]).resize((56, 40), Image.Resampling.BICUBIC)
    # Pillow sees a pixel beyond the box at its border.
    assert np.array_equal(Distortion("zoom", 2)(IMAGE)[6:-6, 6:-6], np.asarray(middle)[6:-6, 6:-6])
    assert np.array_equal(Distortion("zoom", 1)(IMAGE), IMAGE)


def test_blur_is_near_a_gaussian():
    image = smooth()
    expected = gaussian_filter(image.astype(float), (1.5, 1.5, 0), mode="nearest")
    assert np.abs(Distortion("blur", 1.5)(image) - expected).max() < 3


def test_noise_has_the_error_of_quantization():
    """Uniform noise as wide as the steps has the mean square of rounding to them, where all coefficients are coded."""
    rng = np.random.default_rng(1)
    image = np.clip(rng.normal(128, 60, (256, 256, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=85, subsampling=0)
    coded = np.asarray(Image.open(buffer))
    noisy = Distortion("noise", 85)(image)
    error, other = (np.square(a.astype(float) - image).mean() for a in (coded, noisy))
    assert other == pytest.approx(error, rel=0.15)
    finer, coarser = (np.square(Distortion("noise", q)(image).astype(float) - image).mean() for q in (95, 20))
    assert finer < other < coarser


@pytest.mark.parametrize("text", ["swap", "blur 1.5", "scale 0.5", "standardise", "noise 30"])
def test_names_are_read_and_written(text):
    assert str(Distortion.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blurr 1", "did you mean blur"),
        ("rotate 3", "take one of swap, scale"),
        ("blur", "blur takes a number from 0 to 20"),
        ("blur much", "a number"),
        ("blur 21", "from 0 to 20"),
        ("swap 2", "swap takes no number"),
        ("noise nan", "from 1 to 100"),
    ],
)
def test_what_is_none_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        Distortion.parse(text)
