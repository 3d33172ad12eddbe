"""Whatever a file holds, reading gives RGB of 8 bits or one sentence."""

import io
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from field_files import AVIF_OF_10_BITS, RGB, png_chunk, png_of, profile, rasterio, turned
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.data import images
from satstudy.data.images import find_images, halved, image_size, is_jpeg, open_image, read_image, write_image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


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


def test_more_than_eight_bits_are_refused_in_grey_and_in_colour(tmp_path):
    Image.fromarray(np.full((4, 5), 1000, np.uint16)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((4, 5), 1.5, np.float32)).save(tmp_path / "grey.tif")
    # Pillow reads 16-bit RGB as 8-bit without a word.
    rows = b"".join(b"\0" + np.full(15, 1000, ">u2").tobytes() for _ in range(4))
    (tmp_path / "colour.png").write_bytes(png_of(4, 5, 16, rows))
    (tmp_path / "plain.ppm").write_bytes(b"P6 2 1 1023\n" + np.full(6, 1000, ">u2").tobytes())
    (tmp_path / "ten.avif").write_bytes(AVIF_OF_10_BITS)
    for name in ("grey.png", "grey.tif", "colour.png", "plain.ppm", "ten.avif"):
        for read in (read_image, image_size):
            with pytest.raises(InputError, match="scale it to 8 bits first"):
                read(tmp_path / name)


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
        with pytest.raises(InputError, match="20000×20001 pixels, more than 400000000"):
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
    with pytest.raises(InputError, match="no image that can be read"):
        image_size(tmp_path / "text.png")
    with pytest.raises(InputError, match="is a folder: name a file"):
        image_size(tmp_path)
    (tmp_path / "link.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"is a link to nowhere\.png, which is not there"):
        image_size(tmp_path / "link.png")
    with pytest.raises(InputError, match="- stands for no file here"):
        image_size("-")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_an_empty_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match="is empty: fetch it again"):
        read_image(tmp_path / "a.png")


def test_a_stream_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="is a stream or a device"):
        image_size(tmp_path / "pipe.png")


def test_video_and_heif_are_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(struct.pack(">I4s4s", 24, b"ftyp", b"heic") + b"\0\0\0\0mif1heic" + bytes(50))
    with pytest.raises(InputError, match="is HEIF or a video"):
        read_image(tmp_path / "a.jpg")


# --- Orientation ---


def test_an_orientation_behind_the_pixels_of_a_png_counts(tmp_path):
    exif = Image.Exif()
    exif[274] = 8
    rows = b"".join(b"\0" + row.tobytes() for row in RGB)
    chunk = png_chunk(b"eXIf", exif.tobytes()[6:])
    (tmp_path / "a.png").write_bytes(png_of(*RGB.shape[:2], rows=rows, after=chunk))
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(RGB))
    assert image_size(tmp_path / "a.png") == RGB.shape[1::-1]


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", b"x"])
def test_damaged_exif_turns_nothing(tmp_path, exif):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == RGB.shape


def test_an_orientation_that_is_none_turns_nothing(tmp_path):
    assert read_image(turned(tmp_path / "a.webp", 9)).shape == RGB.shape
    assert read_image(turned(tmp_path / "a.tif", 0)).shape == RGB.shape


# --- What is kept, and what is said ---


def opened(path, **options):
    with open_image(path, **options) as image:
        image.read(0, 1, 0, 1)
        return image


@pytest.mark.parametrize("ending", [".png", ".webp", ".jpg", ".avif", ".tif"])
def test_a_colour_profile_is_kept(tmp_path, ending):
    Image.fromarray(RGB).save(tmp_path / f"a{ending}", icc_profile=profile())
    notes = opened(tmp_path / f"a{ending}").notes
    assert list(notes) == ["icc"]
    write_image(tmp_path / "b.png", RGB, profile())
    assert opened(tmp_path / "b.png").notes == notes


def test_a_profile_for_other_colours_is_said_to_be_lost(tmp_path):
    Image.fromarray(RGB[..., 0]).save(tmp_path / "a.png", icc_profile=profile("GRAY"))
    image = opened(tmp_path / "a.png")
    assert image.notes == {}
    assert image.remarks == ["its colour profile is for GRAY and is not kept"]


def test_inks_are_converted_and_said(tmp_path):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg", icc_profile=profile("CMYK"), quality=95)
    image = opened(tmp_path / "a.jpg")
    assert image.remarks == ["its inks are converted to RGB without a colour profile"]
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - RGB).mean() < 3


def test_only_the_first_frame_is_taken_and_that_is_said(tmp_path):
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    for ending, options in ((".png", {}), (".webp", {"lossless": True}), (".avif", {}), (".gif", {}), (".tif", {})):
        path = tmp_path / f"a{ending}"
        first.save(path, save_all=True, append_images=[second], **options)
        assert opened(path).remarks == ["the first of its 2 images or pages is taken"], ending
        assert np.abs(read_image(path).astype(int) - RGB).mean() < 20, ending


def test_a_position_in_exif_is_said_to_be_lost(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (47.0, 30.0, 0.0)
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert opened(tmp_path / "a.jpg").remarks == ["the GPS position in its EXIF is not kept"]


def test_a_wide_colour_space_is_said_to_be_lost(tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in RGB)
    for codes, remarks in ((bytes((9, 16, 0, 1)), ["its colour space (CICP 9/16/0) is not kept"]), (b"\1\15\0\1", [])):
        (tmp_path / "a.png").write_bytes(png_of(*RGB.shape[:2], rows=rows, before=png_chunk(b"cICP", codes)))
        assert opened(tmp_path / "a.png").remarks == remarks


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "transparency"])
@pytest.mark.parametrize("ending", [".png", ".webp", ".avif"])
def test_transparent_pixels_are_without_data(tmp_path, mode, ending):
    alpha = np.full(RGB.shape[:2], 255, np.uint8)
    alpha[:10], alpha[10:15] = 0, 99
    image = Image.fromarray(np.dstack([RGB, alpha]))
    if mode == "LA":
        image = image.convert("LA")
    elif mode == "P":
        indices = (np.arange(RGB.shape[0])[:, None] // 5).repeat(RGB.shape[1], 1).astype(np.uint8)
        image = Image.fromarray(indices, "P")
        image.putpalette(list(range(24)))
        image.info["transparency"] = bytes([0, 0, 99] + [255] * 5)
    elif mode == "transparency":
        whole = RGB.copy()
        whole[:10] = whole[0, 0]
        image = Image.fromarray(whole)
        if ending != ".png":
            pytest.skip("a transparent colour is PNG's alone")
        image.info["transparency"] = tuple(int(value) for value in whole[0, 0])
    options = {".webp": {"lossless": True, "exact": True}, ".avif": {"quality": 100}}.get(ending, {})
    if mode == "P" and ending != ".png":
        image = image.convert("RGBA")
    image.save(tmp_path / f"a{ending}", **options)
    found = opened(tmp_path / f"a{ending}")
    assert found.fill == 0
    expected = np.ones(RGB.shape[:2], bool)
    expected[:10] = False
    assert np.array_equal(found.valid(0, 40, 0, 56), expected)
    assert found.masked_counts() == (560, 0 if mode == "transparency" else 280)
    assert opened(tmp_path / f"a{ending}", masked=False).valid(0, 40, 0, 56) is None
    assert opened(tmp_path / f"a{ending}", masked=False).fill is None


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_grey_of_a_png_of_few_bits_is_one_of_its_values(tmp_path, bits):
    """Which Pillow compares with pixels that are scaled (PNG, 3rd edition, §11.3.1.1); GDAL does not."""
    rows = b"".join(b"\0" + bytes([0b00011011] * bits) for _ in range(4))
    path = tmp_path / "a.png"
    path.write_bytes(png_of(4, 8, bits, rows, kind=0, before=png_chunk(b"tRNS", struct.pack(">H", 27 % 2**bits))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as by_gdal:
            expected = by_gdal.read_masks(1) > 0
    with open_image(path) as image:
        mask = image.valid(0, 4, 0, 8)
        assert (~expected).sum() == image.masked_counts()[0] > 0
        assert np.array_equal(np.ones((4, 8), bool) if mask is None else mask, expected)


def test_a_mask_turns_with_its_image(tmp_path):
    alpha = np.where(np.arange(56) < 7, 0, 255).astype(np.uint8)[None].repeat(40, 0)
    path = turned(tmp_path / "a.png", 6, np.dstack([RGB, alpha]))
    found = opened(path)
    assert (found.height, found.width) == (56, 40)
    assert not found.valid(0, 7, 0, 40).any()
    assert found.valid(7, 56, 0, 40).all()


def test_a_jpeg_is_one_by_its_bytes(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png", format="JPEG")
    Image.fromarray(RGB).save(tmp_path / "a.jpg", format="PNG")
    assert is_jpeg(tmp_path / "a.png")
    assert not is_jpeg(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == RGB.shape


# --- Damage ---


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=kind)
    return buffer.getvalue()


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_linked_folders_are_followed_once_and_dangling_links_found(tmp_path):
    for name in ("real/beach/1.png", "set/forest/2.png"):
        write_image(tmp_path / name, PIXELS)
    for name, target in {
        "set/beach": "../real/beach",
        "set/shore": "../real/beach",
        "set/forest/loop": "../../set",
        "set/forest/dangling.png": "nowhere.png",
        "set/lake": "../real/lake",
        "set/notes.txt": "nowhere.txt",
        "set/linked.png": "forest/2.png",
    }.items():
        (tmp_path / name).symlink_to(target)
    found = [path.relative_to(tmp_path).as_posix() for path in find_images([tmp_path / "set"])]
    assert found == ["set/beach/1.png", "set/forest/2.png", "set/forest/dangling.png", "set/lake", "set/linked.png"]


def test_a_folder_that_may_not_be_read_is_among_what_is_found(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", PIXELS)
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def guarded(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert find_images([tmp_path]) == [tmp_path / "a.png", tmp_path / "closed"]


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
