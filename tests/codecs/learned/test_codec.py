"""The learned codec: every tiling, every size, windows, damage, and CompressAI as the reference."""

import copy
import dataclasses
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import compressai
from PIL import Image

from satstudy.codecs.coding import bitstream
from satstudy.codecs.coding.bitstream import MAX_SIDE
from satstudy.codecs.coding.engine import padded, unit_shape
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned import codec as learned
from satstudy.codecs.learned.codec import LearnedCodec, Window
from satstudy.codecs.mbt2018.engine import Mbt2018Engine
from satstudy.codecs.mbt2018.prior import hyper_tables
from satstudy.core.errors import DamagedFile, InputError, WrongWeights
from satstudy.data.sources import ArraySource

pytestmark = pytest.mark.usefixtures("one_thread")
TILINGS = [("independent", 64, "mean"), ("blend", 64, "mean"), ("blend", 48, "ramp"), ("seamless", 64, "mean")]


@pytest.fixture(scope="module")
def tiny_checkpoint(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoint.save(path, tiny_model, {"N": "8", "M": "12", "lam": "0.01"}, hyper_tables(tiny_model))
    return checkpoint.load(path)


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces and groups so small that little images have several."""
    monkeypatch.setattr(Mbt2018Engine, "piece", 96)
    monkeypatch.setattr(learned, "GROUP_PIXELS", 128)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def whole_latents(model, image):
    """`g_a` of the whole image, padded to the stride."""
    with torch.inference_mode():
        return model.g_a(padded(torch.from_numpy(image)).permute(2, 0, 1)[None].float() / 255)[0]


def spied(codec, monkeypatch):
    """What the entropy coder is given and gives back, a list for each group."""
    seen = []
    encode = codec.engine.entropy.encode

    def spy(latents):
        data, y_hat = encode(latents)
        seen.append((latents, y_hat))
        return data, y_hat

    monkeypatch.setattr(codec.engine.entropy, "encode", spy)
    return seen


def plane(header, groups, which):
    """One plane of latents from the tiles of all groups."""
    rows, columns = unit_shape(header.height, header.width)
    result = torch.full((12, rows, columns), float("nan"))
    side = header.tile // 16
    for tiles, group in zip(header.groups(), groups, strict=True):
        for (i, j), y in zip(tiles, group[which], strict=True):
            result[:, i * side : i * side + y.shape[1], j * side : j * side + y.shape[2]] = y
    assert not result.isnan().any()
    return result


@pytest.mark.parametrize(("tiling", "patch", "weighting"), TILINGS)
@pytest.mark.parametrize("size", [(1, 1), (17, 300), (64, 64), (65, 129), (130, 97)])
@pytest.mark.usefixtures("small_pieces")
def test_every_size_round_trips(tiny_checkpoint, picture, tiling, patch, weighting, size):
    codec = LearnedCodec(tiny_checkpoint, tiling, patch=patch, weighting=weighting)
    image = picture(*size)
    before = image.copy()
    data = codec.encode(image, {"a": 1})
    assert np.array_equal(image, before)
    result = codec.decode(data)
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    file = codec.open(data)
    assert file.header.notes == {"a": 1}
    assert (file.header.height, file.header.width) == size
    assert codec.encode(image, {"a": 1}) == data
    # Another codec of the same weights reads it, whatever it writes itself.
    assert np.array_equal(LearnedCodec(tiny_checkpoint, "blend", overlap=0).decode(data), result)


@pytest.mark.parametrize("tiling", ["independent", "blend", "seamless"])
def test_default_tiles_round_trip_an_odd_image(tiny_checkpoint, picture, tiling):
    codec = LearnedCodec(tiny_checkpoint, tiling)
    image = picture(513, 1025)
    assert codec.decode(codec.encode(image)).shape == image.shape


@pytest.mark.parametrize("size", [(1, 1), (31, 200), (192, 192), (150, 333)])
@pytest.mark.usefixtures("small_pieces")
def test_seamless_is_coding_the_whole_image_at_once(tiny_checkpoint, picture, monkeypatch, size):
    codec = LearnedCodec(tiny_checkpoint, "seamless", patch=64)
    model, image = tiny_checkpoint.model, picture(*size)
    groups = spied(codec, monkeypatch)
    data = codec.encode(image)
    header = codec.open(data).header
    expected = whole_latents(model, image)
    assert torch.allclose(plane(header, groups, 0), expected, atol=1e-5 * float(expected.abs().max()))
    with torch.inference_mode():
        x_hat = model.g_s(plane(header, groups, 1)[None])[0].clamp(0, 1) * 255
    exact = x_hat.permute(1, 2, 0)[: size[0], : size[1]].numpy()
    # Half a level of rounding, and what another order of sums changes.
    assert np.abs(codec.decode(data) - exact).max() < 0.51


@given(data=st.data())
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize(("tiling", "patch", "weighting"), TILINGS)
def test_a_window_is_a_crop_of_the_whole(tiny_checkpoint, picture, tiling, patch, weighting, data):
    height, width = 150, 230
    key = (tiling, weighting)
    if key not in WHOLE:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(learned, "GROUP_PIXELS", 128)
            codec = LearnedCodec(tiny_checkpoint, tiling, patch=patch, weighting=weighting)
            coded = codec.encode(picture(height, width))
            patched.setattr(Mbt2018Engine, "piece", 96)
            WHOLE[key] = codec, coded, codec.decode(coded)
    codec, coded, whole = WHOLE[key]
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Mbt2018Engine, "piece", 96)
        part = codec.decode(coded, Window(x, y, w, h)).astype(int)
    crop = whole[y : y + h, x : x + w]
    if tiling == "seamless":  # the same pieces are computed, one at a time
        assert np.array_equal(part, crop)
    else:  # patches meet other ones in their batch, which may change the last bit before rounding
        assert part.shape == crop.shape
        assert np.abs(part - crop).max() <= 1
        assert (part != crop).mean() < 0.01


WHOLE: dict = {}


@pytest.mark.parametrize(
    "window", [(-1, 0, 5, 5), (0, 0, 0, 5), (0, 0, 5, -5), (90, 0, 11, 5), (0, 64, 1, 1), (0, 0, 101, 64)]
)
def test_windows_outside_the_image_are_refused(tiny_checkpoint, picture, window):
    codec = LearnedCodec(tiny_checkpoint, "independent", patch=64)
    with pytest.raises(InputError, match="leaves the image"):
        codec.decode(codec.encode(picture(64, 100)), Window(*window))


def test_limits_hold_for_images_and_windows(tiny_checkpoint, picture):
    codec = LearnedCodec(tiny_checkpoint, "independent", patch=64)
    data = codec.encode(picture(64, 100))
    with pytest.raises(InputError, match="limit"):
        codec.decode(data, max_pixels=6399)
    assert codec.decode(data, Window(3, 4, 50, 20), max_pixels=1000).shape == (20, 50, 3)
    with pytest.raises(InputError, match="smaller"):
        codec.decode(data, Window(3, 4, 50, 21), max_pixels=1000)


class Recorded:
    """An image read by windows, which are noted."""

    def __init__(self, pixels):
        self.pixels, self.height, self.width, self.windows = pixels, *pixels.shape[:2], []

    def read(self, top, bottom, left, right):
        assert 0 <= top < bottom <= self.height
        assert 0 <= left < right <= self.width
        self.windows.append((bottom - top, right - left))
        piece = self.pixels[top:bottom, left:right].copy()
        piece.flags.writeable = False
        return piece


@pytest.mark.parametrize(("tiling", "patch", "weighting"), TILINGS)
@pytest.mark.usefixtures("small_pieces")
def test_reading_by_windows_gives_the_same_file(tiny_checkpoint, picture, tiling, patch, weighting):
    codec = LearnedCodec(tiny_checkpoint, tiling, patch=patch, weighting=weighting)
    image = picture(150, 260)
    source = Recorded(image)
    assert codec.encode(source) == codec.encode(image)
    assert max(max(window) for window in source.windows) <= 96 + 64


def test_arrays_that_cannot_be_written_or_lie_otherwise_are_read(tiny_checkpoint, picture):
    image = picture(70, 90)
    for tiling in ("independent", "seamless"):
        codec = LearnedCodec(tiny_checkpoint, tiling)
        data = codec.encode(image)
        fixed = image.copy()
        fixed.flags.writeable = False
        assert codec.encode(fixed) == data
        assert codec.encode(image[::-1, ::-1].copy()[::-1, ::-1]) == data
        assert codec.encode(np.asfortranarray(image)) == data


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        torch.zeros(3, 8, 8),
        Image.new("RGB", (8, 8)),
        [[[0, 0, 0]]],
        None,
    ],
)
def test_what_is_no_rgb_image_of_8_bits_is_refused(tiny_checkpoint, image):
    with pytest.raises(InputError):
        LearnedCodec(tiny_checkpoint).encode(image)


@pytest.mark.parametrize("data", ["a.sat", None, [1, 2], io.BytesIO(b"SaT")])
def test_what_is_no_bytes_is_refused(tiny_checkpoint, data):
    with pytest.raises(InputError, match="given as its bytes, not as"):
        LearnedCodec(tiny_checkpoint).decode(data)


def test_sides_that_the_format_does_not_hold_are_refused_before_any_work(tiny_checkpoint):
    class Endless:
        height, width = 1, MAX_SIDE + 1

    with pytest.raises(InputError, match="cut it"):
        LearnedCodec(tiny_checkpoint).encode(Endless())


@pytest.mark.parametrize(
    "options",
    [
        {"tiling": "tiles"},
        {"patch": 0},
        {"patch": 40},
        {"patch": 8192},
        {"tiling": "seamless", "patch": 48},
        {"tiling": "blend", "overlap": -1},
        {"tiling": "blend", "overlap": 129},
        {"weighting": "median"},
    ],
)
def test_settings_that_do_not_work_are_refused(tiny_checkpoint, options):
    with pytest.raises(InputError):
        LearnedCodec(tiny_checkpoint, **options)


def test_other_weights_are_refused(tiny_checkpoint, picture, make_model, tmp_path):
    data = LearnedCodec(tiny_checkpoint).encode(picture(40, 40))
    other = copy.deepcopy(tiny_checkpoint.model)
    with torch.no_grad():
        other.g_s[0].bias[0] += 1e-3
    for model in (make_model(1), other):
        checkpoint.save(
            tmp_path / "other.safetensors", model, {"N": "8", "M": "12", "lam": "0.01"}, hyper_tables(model)
        )
        with pytest.raises(WrongWeights, match="other"):
            LearnedCodec(checkpoint.load(tmp_path / "other.safetensors")).decode(data)


def test_a_codec_reads_its_file_after_the_model_was_run(tmp_path, make_model, picture):
    """CompressAI masks the context weights in place at the first forward pass."""
    model = make_model(2)
    with torch.no_grad():
        model.context_prediction.weight[:, :, 4] = 0.5
    checkpoint.save(tmp_path / "a.safetensors", model, {"N": "8", "M": "12", "lam": "0.01"})
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    data = LearnedCodec(loaded).encode(picture(40, 40))
    loaded.model.estimate(torch.rand(1, 3, 64, 64))
    # A copy has its fingerprint still to take.
    LearnedCodec(dataclasses.replace(loaded)).decode(data)
    assert dataclasses.replace(loaded, model=model).fingerprint == LearnedCodec(loaded).fingerprint


@pytest.mark.parametrize(("tiling", "patch"), [("independent", 64), ("blend", 64), ("seamless", 64)])
@pytest.mark.usefixtures("small_pieces")
def test_damage_stays_where_it_is(tiny_checkpoint, picture, tiling, patch):
    codec = LearnedCodec(tiny_checkpoint, tiling, patch=patch)
    data = bytearray(codec.encode(picture(384, 300)))
    whole = codec.decode(bytes(data))
    start, end = codec.open(bytes(data)).spans[-1]
    data[(start + end) // 2] ^= 1
    with pytest.raises(DamagedFile, match="Part"):
        codec.decode(bytes(data))
    assert np.abs(codec.decode(bytes(data), Window(0, 0, 300, 60)).astype(int) - whole[:60]).max() <= 1
    with pytest.raises(DamagedFile):
        codec.decode(bytes(data), Window(299, 383, 1, 1))


def test_forged_streams_are_refused_or_give_an_image(tiny_checkpoint, picture):
    """Right checksums over any bytes: never another exception, never another shape."""
    codec = LearnedCodec(tiny_checkpoint, "blend", patch=64)
    file = codec.open(codec.encode(picture(90, 70)))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(25):
        stream = bytearray(file.stream(0))
        for at in rng.integers(0, len(stream), 3):
            stream[at] = rng.integers(256)
        forged = bitstream.write(file.header, [bytes(stream[: rng.integers(len(stream) + 1)])])
        try:
            assert codec.decode(forged).shape == (90, 70, 3)
        except DamagedFile:
            refused += 1
    assert refused


def test_one_patch_is_what_compressai_reconstructs(tiny_checkpoint, picture, monkeypatch):
    image = picture(256, 256)
    codec = LearnedCodec(tiny_checkpoint, "independent")
    groups = spied(codec, monkeypatch)
    decoded = codec.decode(codec.encode(image))
    model = compressai(tiny_checkpoint.model)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        direct = model.g_s(groups[0][1][0][None])[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
        forward = model(x)["x_hat"][0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
    assert np.abs(decoded - direct).max() < 0.51  # the same latents through their own g_s
    assert psnr(image, decoded) == pytest.approx(psnr(image, np.rint(forward)), abs=0.05)


def test_name_and_setting(tiny_checkpoint):
    codec = LearnedCodec(tiny_checkpoint)
    assert (codec.name, codec.setting, codec.tiling, codec.patch, codec.overlap) == (
        "mbt2018",
        "lam=0.01",
        "seamless",
        1024,
        0,
    )
    assert LearnedCodec(tiny_checkpoint, "blend").overlap == 8


# --- Pixels without data --------------------------------------------------------------------------------


def scattered(height, width):
    """A slanted border, an island, single pixels, and one group without any data at all."""
    y, x = np.mgrid[:height, :width]
    mask = (x + y // 3 > 40) & ((x - 150) ** 2 + (y - 60) ** 2 > 400)
    mask[np.random.default_rng(0).integers(0, height, 30), np.random.default_rng(1).integers(0, width, 30)] = False
    mask[:, 200:] = False
    return mask


@pytest.mark.parametrize(("tiling", "patch", "weighting"), TILINGS)
@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.usefixtures("small_pieces")
def test_masks_come_back_exactly_whole_and_in_windows(tiny_checkpoint, picture, tiling, patch, weighting, fill):
    codec = LearnedCodec(tiny_checkpoint, tiling, patch=patch, weighting=weighting)
    image, mask = picture(150, 350), scattered(150, 350)
    data = codec.encode(ArraySource(image, mask, fill))
    whole = codec.decode(data)
    assert np.array_equal((whole != fill).any(axis=2), mask)
    for window in [Window(0, 0, 1, 1), Window(30, 17, 111, 90), Window(47, 140, 303, 10), Window(349, 149, 1, 1)]:
        part = codec.decode(data, window)
        x, y, w, h = window
        assert np.array_equal((part != fill).any(axis=2), mask[y : y + h, x : x + w])
    # What the mask hides does not matter.
    hidden = np.where(mask[..., None], image, 255 - image)
    assert codec.encode(ArraySource(hidden, mask, fill)) == data


def test_a_valid_pixel_that_decodes_to_the_value_stays_valid(tiny_checkpoint):
    black = np.zeros((64, 64, 3), np.uint8)
    codec = LearnedCodec(tiny_checkpoint)
    mask = np.ones((64, 64), bool)
    decoded = codec.decode(codec.encode(ArraySource(black, mask)))
    common = np.unique(decoded.reshape(-1, 3), axis=0)
    grey = [int(c[0]) for c in common if (c == c[0]).all()]
    for value in [*grey[:2], 0]:
        assert (codec.decode(codec.encode(ArraySource(black, mask, value))) != value).any(axis=2).all()


@pytest.mark.usefixtures("small_pieces")
def test_without_data_to_tell_apart_the_file_is_the_plain_one(tiny_checkpoint, picture):
    codec = LearnedCodec(tiny_checkpoint, "blend", patch=64)
    image = picture(150, 260)
    plain, masked = codec.encode(image), codec.encode(ArraySource(image, np.ones((150, 260), bool)))
    assert codec.encode(ArraySource(image)) == plain
    streams = [codec.open(data).spans for data in (plain, masked)]
    assert len(masked) == len(plain) + 1 + len(streams[0])
    assert [b - a + 1 for a, b in streams[0]] == [b - a for a, b in streams[1]]


def test_damaged_masks_are_refused_or_of_the_right_size(tiny_checkpoint, picture):
    codec = LearnedCodec(tiny_checkpoint, "blend", patch=64)
    file = codec.open(codec.encode(ArraySource(picture(90, 70), scattered(90, 70))))
    rng, refused = np.random.default_rng(0), 0
    for at in range(25):
        stream = bytearray(file.stream(0))
        stream[at] ^= 1 << rng.integers(8)
        try:
            assert codec.decode(bitstream.write(file.header, [bytes(stream)])).shape == (90, 70, 3)
        except DamagedFile:
            refused += 1
    assert refused > 5
