import os
import zlib

import numpy as np
import pytest

from satstudy.classification.coded_images import CodedSet, Condition, code_condition, conditions_frame
from satstudy.classification.distortions import Distortion
from satstudy.core.errors import InputError
from satstudy.data.images import read_image, write_image
from satstudy.data.records import Box, ImageRecord


class Coarse:
    """Keeps the upper bits of every pixel; counts what it codes."""

    name = "coarse"

    def __init__(self, keep=3, dark=0):
        self.keep, self.dark, self.coded = keep, dark, 0

    @property
    def setting(self):
        return f"bits={self.keep}"

    def encode(self, image):
        self.coded += 1
        step = 1 << (8 - self.keep)
        flat = np.maximum(image // step * step, self.dark).astype(np.uint8)
        return f"{image.shape[0]} {image.shape[1]}".encode().ljust(16) + zlib.compress(flat.tobytes())

    def decode(self, data):
        height, width = map(int, data[:16].split())
        return np.frombuffer(zlib.decompress(data[16:]), np.uint8).reshape(height, width, 3)


@pytest.fixture
def records(tmp_path):
    rng = np.random.default_rng(0)
    made = []
    for category in ("dam", "port"):
        for i in range(3):
            path = tmp_path / "tiles" / category / f"{i}.png"
            write_image(path, rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
            made.append(ImageRecord(path, category, f"{category}_{i // 2}", 40, 40))
    return made


def code(records, codec, folder, **options):
    steps = codec if isinstance(codec, tuple) else (codec,) if codec else ()
    return code_condition(records, Condition("c", steps), folder, **{"size": 40, "progress": False, **options})


def test_the_original_is_the_image_itself(records, tmp_path):
    coded = code(records, None, tmp_path / "cache")
    assert all(np.array_equal(a, read_image(r.path)) for a, r in zip(coded.images, records, strict=True))
    assert coded.labels.tolist() == ["dam"] * 3 + ["port"] * 3
    assert coded.objects.tolist() == ["dam_0", "dam_0", "dam_1", "port_0", "port_0", "port_1"]
    assert len(set(coded.names.tolist())) == 6, "files of one name in two classes stay apart"
    assert (coded.bpp == 24).all()
    assert np.isinf(coded.psnr).all()


def test_a_condition_codes_whole_images_by_real_bytes(records, tmp_path):
    codec = Coarse()
    coded = code(records, codec, tmp_path / "cache")
    whole = read_image(records[0].path)
    decoded = codec.decode(codec.encode(whole))
    assert np.array_equal(coded.images[0], decoded)
    assert coded.bpp[0] == 8 * len(codec.encode(whole)) / 1600
    mse = np.square(whole.astype(float) - decoded).mean()
    assert coded.psnr[0] == pytest.approx(10 * np.log10(255**2 / mse))
    row = conditions_frame([coded]).iloc[0]
    assert (row["condition"], row["codec"], row["setting"]) == ("c", "coarse", "bits=3")
    assert row["bpp"] == pytest.approx(coded.bpp.mean())


def test_steps_follow_each_other_and_the_last_codec_gives_the_rate(records, tmp_path):
    first, last, swap = Coarse(4), Coarse(3), Distortion("swap")
    coded = code(records, (first, swap, last), tmp_path / "cache")
    image = read_image(records[0].path)
    between = first.decode(first.encode(image))[..., ::-1]
    data = last.encode(np.ascontiguousarray(between))
    assert np.array_equal(coded.images[0], last.decode(data))
    assert coded.bpp[0] == 8 * len(data) / 1600
    assert (coded.codec, coded.setting) == ("coarse", "bits=4 → swap → coarse bits=3")
    only = code(records, swap, tmp_path / "cache")
    assert np.array_equal(only.images[0], image[..., ::-1])
    assert (only.codec, only.setting, only.bpp[0]) == ("original", "swap", 24)


def test_the_crop_is_cut_from_the_decoded_scene(records, tmp_path):
    boxed = [records[0]._replace(boxes=(Box(8, 8, 4, 4, "dam"),))]

    def corner(image, record, size):
        x, y = record.boxes[0][:2]
        return image[y : y + size, x : x + size]

    codec = Coarse()
    coded = code(boxed, codec, tmp_path / "cache", crop_fn=corner, size=16)
    assert np.array_equal(coded.images[0], codec.decode(codec.encode(read_image(boxed[0].path)))[8:24, 8:24])


def test_a_second_call_reads_the_cache(records, tmp_path):
    first, codec = code(records, Coarse(), tmp_path / "cache"), Coarse()
    for record in records:
        os.utime(record.path, (1, 1))  # as after a copy or another mount
    again = code(records, codec, tmp_path / "cache")
    assert codec.coded == 1, "one image is coded to see that the codec is still the same"
    assert again.digest == first.digest
    assert np.array_equal(again.psnr, first.psnr)


def test_pixels_stay_on_disk_until_they_are_used(records, tmp_path):
    coded = code(records, Coarse(), tmp_path / "cache")
    assert isinstance(coded.images, np.memmap)
    assert not coded.images.flags.writeable
    (cache,) = (tmp_path / "cache").iterdir()
    assert sorted(path.name for path in cache.iterdir()) == ["images.npy", "measures.npz"]


def test_objects_may_change_without_coding_again(records, tmp_path):
    code(records, Coarse(), tmp_path / "cache")
    codec = Coarse()
    merged = [record._replace(object="one") for record in records]
    assert set(code(merged, codec, tmp_path / "cache").objects.tolist()) == {"one"}
    assert codec.coded == 1


def test_an_interrupted_condition_goes_on(records, tmp_path, monkeypatch):
    monkeypatch.setattr("satstudy.classification.coded_images.SHARD", 2)

    class Stopped(Coarse):
        def encode(self, image):
            if self.coded == 4:
                raise KeyboardInterrupt
            return super().encode(image)

    with pytest.raises(KeyboardInterrupt):
        code(records, Stopped(), tmp_path / "cache")
    codec = Coarse()
    assert code(records, codec, tmp_path / "cache").digest == code(records, Coarse(), tmp_path / "other").digest
    assert codec.coded == 1 + 4, "the first two images were there"


def test_two_processes_may_code_one_set_at_once(records, tmp_path, monkeypatch):
    monkeypatch.setattr("satstudy.classification.coded_images.SHARD", 2)

    class Overtaken(Coarse):
        """While the last image is coded, another process codes the whole set."""

        def encode(self, image):
            data = super().encode(image)
            if self.coded == len(records) + 1:  # one more for the key
                self.other = code(records, Coarse(), tmp_path / "cache")
            return data

    codec = Overtaken()
    coded = code(records, codec, tmp_path / "cache")
    assert np.array_equal(coded.images, codec.other.images)
    assert np.array_equal(coded.images, code(records, Coarse(), tmp_path / "other").images)


@pytest.mark.parametrize("name", ["images.npy", "measures.npz"])
@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b"no"), lambda p: p.write_bytes(p.read_bytes()[:-200])])
def test_a_damaged_cache_is_made_again(records, tmp_path, damage, name):
    first = code(records, Coarse(), tmp_path / "cache").digest
    (path,) = (tmp_path / "cache").rglob(name)
    damage(path)
    assert code(records, Coarse(), tmp_path / "cache").digest == first


def test_the_cache_holds_no_pickle(records, tmp_path):
    code(records, Coarse(), tmp_path / "cache")
    (measures,) = (tmp_path / "cache").rglob("*.npz")
    with np.load(measures, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    (images,) = (tmp_path / "cache").rglob("*.npy")
    assert np.load(images, allow_pickle=False).dtype == np.uint8


@pytest.mark.parametrize("change", ["codec behind one setting", "setting", "crop", "images", "pixels"])
def test_what_changes_the_crops_misses_the_cache(records, tmp_path, change):
    code(records, Coarse(), tmp_path / "cache")
    codec, options = Coarse(), {}
    match change:
        case "codec behind one setting":
            codec = Coarse(dark=64)
        case "setting":
            codec = Coarse(keep=4)
        case "crop":
            options = {"crop_fn": lambda image, record, size: np.ascontiguousarray(image[::-1])}
        case "images":
            records = records[1:]
        case "pixels":
            write_image(records[1].path, read_image(records[1].path)[::-1])
    changed = code(records, codec, tmp_path / "cache", **options)
    assert codec.coded == 1 + len(records)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert changed.digest == code(records, codec, tmp_path / "other", **options).digest


def test_taking_a_side_keeps_rows_together(records, tmp_path):
    coded = code(records, Coarse(), tmp_path / "cache")
    ports = coded.take(coded.labels == "port")
    assert isinstance(ports, CodedSet)
    assert len(ports) == 3
    assert np.array_equal(ports.images, coded.images[3:])
    assert ports.bpp.tolist() == coded.bpp[3:].tolist()
    assert ports.digest != coded.digest


def test_errors_name_the_remedy(records, tmp_path):
    with pytest.raises(InputError, match="no image to code"):
        code([], None, tmp_path)
    with pytest.raises(InputError, match="must return uint8"):
        code(records, None, tmp_path, crop_fn=lambda image, record, size: image[:3])
    with pytest.raises(InputError, match="size = 2"):
        code(records, None, tmp_path, size=2)

    class Cut(Coarse):
        def decode(self, data):
            return super().decode(data)[1:]

    with pytest.raises(InputError, match="the size it was given"):
        code(records, Cut(), tmp_path)
