"""Whatever a file holds, reading gives RGB of 8 bits or one sentence."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.data import images
from satstudy.data.images import find_images, halved, image_size, read_image, write_image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def png_of(height: int, width: int, depth: int = 8, rows: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("ending", [".png", ".tif", ".TIFF", ".webp"])
def test_what_is_written_is_read_back(tmp_path, ending):
    path = tmp_path / "deep" / f"a{ending}"
    write_image(path, PIXELS)
    assert np.array_equal(read_image(path), PIXELS)
    assert image_size(path) == (40, 50)


def test_a_view_of_an_array_is_written_as_it_looks(tmp_path):
    write_image(tmp_path / "a.png", PIXELS[::-2, 3:20])
    assert np.array_equal(read_image(tmp_path / "a.png"), PIXELS[::-2, 3:20])


def test_lossy_or_nameless_endings_are_refused(tmp_path):
    for name in ("a.jpg", "a"):
        with pytest.raises(InputError, match=r"\.png, \.tif or \.webp"):
            write_image(tmp_path / name, PIXELS)
    assert list(tmp_path.iterdir()) == []


def test_an_image_too_long_for_webp_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(InputError, match=r"16383.*\.png or \.tif"):
        write_image(tmp_path / "a.webp", np.zeros((1, 16384, 3), np.uint8))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 7, (7, 7, 7)),
        ("LA", (7, 0), (7, 7, 7)),
        ("RGBA", (7, 8, 9, 0), (7, 8, 9)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_other_modes_become_rgb_and_alpha_is_dropped(tmp_path, mode, colour, expected):
    Image.new(mode, (3, 2), colour).save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png")
    assert pixels.shape == (2, 3, 3)
    assert pixels.dtype == np.uint8
    assert tuple(pixels[0, 0]) == expected


def test_a_palette_is_looked_up(tmp_path):
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 9, 8, 7])
    image.save(tmp_path / "a.png")
    assert tuple(read_image(tmp_path / "a.png")[1, 2]) == (9, 8, 7)


def test_more_than_eight_bits_are_refused_in_grey_and_in_colour(tmp_path):
    Image.fromarray(np.full((4, 5), 1000, np.uint16)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((4, 5), 1.5, np.float32)).save(tmp_path / "grey.tif")
    # Pillow reads 16-bit RGB as 8-bit without a word.
    rows = b"".join(b"\0" + np.full(15, 1000, ">u2").tobytes() for _ in range(4))
    (tmp_path / "colour.png").write_bytes(png_of(4, 5, 16, rows))
    for name in ("grey.png", "grey.tif", "colour.png"):
        with pytest.raises(InputError, match="more than 8 bits"):
            read_image(tmp_path / name)


def test_more_than_eight_bits_are_refused_in_jpeg2000(tmp_path):
    # Pillow writes 8-bit only: its file, with the precision in the SIZ marker raised to 16.
    Image.fromarray(PIXELS).save(tmp_path / "a.jp2")
    data = bytearray((tmp_path / "a.jp2").read_bytes())
    start = data.index(b"\xff\x4f\xff\x51")
    assert data[start + 42] == 7
    assert read_image(tmp_path / "a.jp2").shape == (40, 50, 3)
    data[start + 42] = data[start + 45] = data[start + 48] = 15
    (tmp_path / "a.jp2").write_bytes(data)
    with pytest.raises(InputError):
        read_image(tmp_path / "a.jp2")


def test_five_bits_a_channel_are_not_taken_for_sixteen(tmp_path):
    # A BMP of 16 bits a *pixel* (5 a channel), whose raw mode is called BGR;15.
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 0, 4, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(struct.pack("<2sIHHI", b"BM", 58, 0, 0, 54) + header + b"\xff\x7f\0\0")
    assert tuple(read_image(tmp_path / "a.bmp")[0, 0]) == (255, 255, 255)


def test_images_above_pillows_own_limit_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    write_image(tmp_path / "a.png", PIXELS)
    assert read_image(tmp_path / "a.png").shape == (40, 50, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_header_that_promises_too_many_pixels_is_refused(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_of(20_000, 20_001))
    for read in (image_size, read_image):
        with pytest.raises(InputError, match="400000000 pixels"):
            read(tmp_path / "bomb.png")


def test_the_limit_itself_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 2000)
    write_image(tmp_path / "a.png", PIXELS)
    assert image_size(tmp_path / "a.png") == (40, 50)


def test_truncation_passes_the_header_and_fails_the_pixels(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    assert image_size(path) == (40, 50)
    with pytest.raises(InputError, match="truncated or damaged"):
        read_image(path)


def test_missing_files_folders_and_text_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("hello")
    for path in (tmp_path, tmp_path / "text.png"):
        with pytest.raises(InputError, match="no image that Pillow can read"):
            image_size(path)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=kind)
    return buffer.getvalue()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "JPEG2000", "BMP", "AVIF"])
def test_damage_gives_pixels_or_an_input_error_and_nothing_else(tmp_path, kind, data):
    good = bytearray(encoded(kind))
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=6)):
        good[min(place, len(good) - 1)] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.img"
    path.write_bytes(good[: data.draw(st.integers(1, len(good)))])
    monkey = images.MAX_PIXELS
    images.MAX_PIXELS = 10**6  # what a damaged header promises is allocated up to this limit
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = read_image(path)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
    except InputError:
        pass
    finally:
        images.MAX_PIXELS = monkey


def test_finding_goes_through_folders_and_keeps_named_files(tmp_path):
    for name in ("b/2.PNG", "b/10.jpg", "a.tif", "b/.hidden.png", ".cache/c.png", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert find_images([tmp_path]) == [tmp_path / "a.tif", tmp_path / "b/10.jpg", tmp_path / "b/2.PNG"]
    assert find_images([tmp_path / "b/notes.txt"]) == [tmp_path / "b/notes.txt"]


def test_an_image_named_twice_is_found_once(tmp_path):
    write_image(tmp_path / "a.png", PIXELS)
    assert find_images([tmp_path / "a.png", tmp_path, tmp_path]) == [tmp_path / "a.png"]


def test_a_hidden_folder_that_is_named_is_searched(tmp_path):
    write_image(tmp_path / ".h" / "a.png", PIXELS)
    assert len(find_images([tmp_path / ".h"])) == 1


def test_finding_nothing_is_an_error(tmp_path):
    with pytest.raises(InputError, match="No image"):
        find_images([tmp_path])
    with pytest.raises(InputError, match="no file or folder"):
        find_images([Path("nowhere")])


def test_half_an_image_is_its_means():
    image = np.zeros((5, 4, 3), np.uint8)
    image[:2, :2, 0] = [[0, 1], [2, 3]]  # a mean of 1.5
    image[2:4, 2:, 1] = 255
    image[4] = 77  # an odd row
    half = halved(image)
    assert (half.shape, half.dtype) == ((2, 2, 3), np.uint8)
    assert half[..., 0].tolist() == [[2, 0], [0, 0]]
    assert half[..., 1].tolist() == [[0, 0], [0, 255]]
    assert not half[..., 2].any()
