"""What every conventional codec of the registry does: real bytes, any size, refusals; skipped without its package."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import features
from smooth import picture

from satstudy.codecs import JPEG, registry
from satstudy.core.errors import DamagedFile, InputError
from satstudy.metrics import quality

NAMES = [name for name in registry.names() if not registry.find(name).learned]
#: Codecs that refuse a file cut anywhere; the others are only sure to notice a cut in the header.
WHOLE_FILES = {"jpeg", "jpeg-flat", "webp", "avif", "jpeg2000", "jpeg2000-rgb"}


def lacks(name):
    return registry.find(name).missing or (name == "avif" and not features.check("avif"))


CODECS = [pytest.param(name, marks=pytest.mark.skipif(bool(lacks(name)), reason="not installed")) for name in NAMES]
#: A rate that is too low for a small image.
low_rate = pytest.mark.filterwarnings("ignore:JPEG 2000 cannot code:UserWarning")


@low_rate
@pytest.mark.parametrize("name", CODECS)
def test_the_setting_trades_rate_for_distortion_and_bytes_repeat(name):
    entry, image, points = registry.find(name), picture(128, 160), []
    for setting in entry.ladder[::2]:
        codec = entry.make(setting)
        data = codec.encode(image)
        assert data == codec.encode(image)
        points.append((len(data), quality.psnr(image, codec.decode(data))))
    assert points in (sorted(points), sorted(points, reverse=True))
    assert len(set(points)) == len(points)


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 41), st.integers(1, 41), st.data())
def test_any_size_comes_back_in_its_size(name, height, width, data):
    entry, image = registry.find(name), picture(height, width)
    values = st.sampled_from(entry.ladder)
    if entry.parameter == "quality":
        values |= st.integers(1, 100)
    codec = entry.make(data.draw(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a rate below the header's
        decoded = codec.decode(codec.encode(image))
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize(
    ("shape", "kind", "words"),
    [
        ((8, 8), np.uint8, "RGB"),
        ((8, 8, 4), np.uint8, "RGB"),
        ((8, 8, 3), np.uint16, "uint8"),
        ((8, 8, 3), np.float32, "uint8"),
        ((0, 8, 3), np.uint8, "without pixels"),
    ],
)
def test_what_is_no_rgb_image_is_refused(name, shape, kind, words):
    codec = registry.find(name).make(registry.find(name).example)
    with pytest.raises(InputError, match=words):
        codec.encode(np.zeros(shape, kind))


@pytest.mark.parametrize("name", CODECS)
def test_truncated_and_foreign_bytes_are_refused(name):
    codec = registry.find(name).make(registry.find(name).example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        data = codec.encode(picture(40, 40))
    cuts = [*range(0, len(data), max(1, len(data) // 60)), len(data) - 1] if name in WHOLE_FILES else [0, 9, 20]
    foreign = [b"not an image", b"\0" * 40, b"\x89PNG" + data]
    if name not in ("jpeg", "jpeg-flat"):
        foreign.append(JPEG().encode(picture()))
    for damaged in (*(data[:cut] for cut in cuts), *foreign):
        with pytest.raises(DamagedFile):
            codec.decode(damaged)


@pytest.mark.parametrize("name", CODECS)
def test_it_says_its_version(name):
    assert any(sign.isdigit() for sign in registry.find(name).version())
