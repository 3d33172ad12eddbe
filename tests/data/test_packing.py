"""A folder of images as one ZIP below a size: at the highest quality that fits, and the same every time."""

import json
import math
import shutil
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from satstudy.codecs.jpeg import JPEG
from satstudy.core.errors import InputError
from satstudy.data import packing
from satstudy.data.images import find_images, read_image
from satstudy.data.packing import MIB, unpack
from satstudy.metrics.quality import psnr

CLASSES, COUNT = ("forest", "river"), 5


def jpeg(quality):
    """As the command packs."""
    return JPEG(quality, "4:4:4", progressive=True)


def pack(folder, target, *options, **named):
    return packing.pack(folder, target, jpeg, *options, **named)


@pytest.fixture(scope="module")
def tree(picture, tmp_path_factory):
    root = tmp_path_factory.mktemp("images") / "land"
    for c, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(COUNT):
            Image.fromarray(picture(56 + 8 * c, 64, i + 10 * c)).save(root / name / f"{name}{i:02}.png")
    return root


def jpegs(tree, quality):
    """What the images have as JPEG, name → (bytes, dB), counted apart from the module under test."""
    found = {}
    for path in find_images([tree]):
        image, codec = read_image(path), jpeg(quality)
        data = codec.encode(image)
        found[path.relative_to(tree).with_suffix(".jpg").as_posix()] = data, psnr(image, codec.decode(data))
    return found


def size(members, note):
    """Of a ZIP without compression: local headers, central directory and its end (APPNOTE 4.3)."""
    names = {**{name: len(data) for name, (data, _) in members.items()}, "pack.json": note}
    return sum(30 + 46 + 2 * len(name) + length for name, length in names.items()) + 22


@pytest.mark.parametrize("quality", [80, 81, 90, 99])
def test_the_highest_quality_that_fits_is_taken(tree, tmp_path, quality):
    here, above = jpegs(tree, quality), jpegs(tree, quality + 1)
    note = 150
    limit = (size(here, note) + size(above, note)) / 2 / MIB
    made = pack(tree, tmp_path / "p.zip", limit, progress=False)
    assert (made.source, made.images, made.quality) == ("land", 10, quality)
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        about = json.loads(archive.read("pack.json"))
        length = archive.getinfo("pack.json").file_size
        assert {name: archive.read(name) for name in archive.namelist()[:-1]} == {n: d for n, (d, _) in here.items()}
        assert archive.namelist() == [*sorted(here), "pack.json"]
    assert about == asdict(made)
    assert about["limit_mib"] == limit
    assert (tmp_path / "p.zip").stat().st_size == size(here, length) <= limit * MIB < size(above, length)
    assert made.psnr == pytest.approx(np.mean([ratio for _, ratio in here.values()]), abs=1e-4)


def test_the_limit_counts_every_byte(tree, tmp_path):
    loose = pack(tree, tmp_path / "p.zip", 0.08, progress=False)
    exact = (tmp_path / "p.zip").stat().st_size
    for spare, quality in ((40, loose.quality), (-40, loose.quality - 1)):  # the limit's own digits vary by fewer
        made = pack(tree, tmp_path / "p.zip", (exact + spare) / MIB, progress=False)
        assert made.quality == quality
        assert (tmp_path / "p.zip").stat().st_size <= exact + spare


def test_what_does_not_fit_is_given_up_as_soon_as_that_is_seen(tree, tmp_path, monkeypatch):
    limit = 1.02 * size(jpegs(tree, 80), 150) / MIB
    coded, recode = [], packing._recode
    monkeypatch.setattr(
        packing, "_recode", lambda file, codec, **more: coded.append(codec) or recode(file, codec, **more)
    )
    assert pack(tree, tmp_path / "p.zip", limit, progress=False).quality == 80
    assert 0 < coded.count(jpeg(90)) < 8
    assert len(set(coded)) <= 5, "bisection"


def test_the_same_images_give_the_same_bytes(tree, tmp_path):
    again = tmp_path / "elsewhere" / "land"
    shutil.copytree(tree, again, copy_function=shutil.copyfile)  # with other times
    pack(tree, tmp_path / "a.zip", 0.08, progress=False)
    pack(again, tmp_path / "b.zip", 0.08, progress=False)
    data = (tmp_path / "a.zip").read_bytes()
    assert data == (tmp_path / "b.zip").read_bytes()
    assert str(tmp_path).encode() not in data


def test_files_that_fit_go_in_unchanged(tree, tmp_path):
    originals = {path.relative_to(tree).as_posix(): path.read_bytes() for path in find_images([tree])}
    made = pack(tree, tmp_path / "p.zip", 1, progress=False)
    assert (made.quality, made.psnr) == (None, None)
    assert unpack(tmp_path / "p.zip", tmp_path / "out", progress=False) == 10
    back = tmp_path / "out"
    assert {path.relative_to(back).as_posix(): path.read_bytes() for path in find_images([back])} == originals
    # Their bytes alone are below this limit, with the ZIP around them they are not.
    limit = (sum(map(len, originals.values())) + 100) / MIB
    assert pack(tree, tmp_path / "p.zip", limit, progress=False).quality is not None


def test_there_and_back(tree, tmp_path):
    made = pack(tree, tmp_path / "p.zip", 0.06, progress=False)
    assert unpack(tmp_path / "p.zip", tmp_path / "out", progress=False) == 10
    assert json.loads((tmp_path / "out/pack.json").read_text()) == asdict(made)
    ratios = [psnr(read_image(path), read_image(tmp_path / "out" / path.relative_to(tree).with_suffix(".jpg")))
              for path in find_images([tree])]  # fmt: skip
    assert np.mean(ratios) == pytest.approx(made.psnr, abs=1e-4)
    assert len(find_images([tmp_path / "out"])) == 10


def test_images_that_coding_leaves_alone_do_not_make_the_mean_infinite(tmp_path, picture):
    (tmp_path / "s").mkdir()
    for i in range(3):
        Image.fromarray(np.full((64, 64, 3), 40 * i, np.uint8)).save(tmp_path / f"s/{i}.bmp")
    assert pack(tmp_path / "s", tmp_path / "p.zip", 0.01, progress=False).psnr is None
    noisy = picture(64, 64)
    Image.fromarray(noisy).save(tmp_path / "s/noisy.bmp")
    made = pack(tmp_path / "s", tmp_path / "p.zip", 0.02, progress=False)
    codec = JPEG(made.quality, "4:4:4")
    assert made.psnr == pytest.approx(psnr(noisy, codec.decode(codec.encode(noisy))), abs=1e-4)
    assert math.isfinite(made.psnr)


def test_numbers_choose_files(tree, tmp_path):
    made = pack(tree, tmp_path / "p.zip", 1, range(1, 3), progress=False)
    assert made.images == 4
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        names = [f"{name}/{name}0{i}.png" for name in CLASSES for i in (1, 2)]
        assert archive.namelist() == [*names, "pack.json"]


def broken(folder):
    (folder / "broken7.png").write_bytes(b"no image")


def twins(folder):
    for ending in ("png", "bmp"):
        Image.fromarray(np.random.default_rng(7).integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"a.{ending}")


def named(name):
    return lambda folder: Image.new("RGB", (9, 9)).save(folder / name)


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (shutil.rmtree, {}, r"There is no folder .*s: name"),
        (lambda folder: None, {}, "No image"),
        (broken, {}, r"broken7\.png is no image"),
        (broken, {"numbers": range(6)}, "s has no image numbered 0 to 5: choose"),
        (named("a.png"), {"numbers": range(6)}, r"a\.png has no number at the end of its name: rename"),
        (named("a:b.png"), {}, r"a:b\.png has a sign in its name .* rename"),
        (named("a\x07.png"), {}, "has a sign in its name .* rename"),
        (twins, {"limit": 0.02}, r"a\.png and .*a\.bmp would both be a\.jpg in the pack: rename|a\.bmp and .*a\.png"),
        (twins, {"limit": 0}, "limit = 0 MiB is no size: take"),
        (twins, {"limit": math.nan}, "limit = nan MiB is no size: take"),
        (twins, {"limit": math.inf}, "limit = inf MiB is no size: take"),
        (
            lambda folder: twins(folder) or (folder / "a.bmp").unlink(),
            {"limit": 0.001},
            r"does not fit into 0\.001 MiB, its 1 images need about 0\.00\d+ MiB even at JPEG quality 80: pack fewer",
        ),
    ],
)
def test_what_cannot_be_packed_is_told_and_leaves_nothing(tmp_path, prepare, options, message):
    (tmp_path / "s").mkdir()
    prepare(tmp_path / "s")
    with pytest.raises(InputError, match=message):
        pack(tmp_path / "s", tmp_path / "out/p.zip", progress=False, **options)
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_the_codecs_own_complaint_names_the_file(tmp_path):
    Image.new("RGB", (65_501, 1)).save(tmp_path / "long.bmp")
    with pytest.raises(InputError, match=r"long\.bmp: JPEG stores sides up to 65500 pixels"):
        pack(tmp_path, tmp_path / "p.zip", 0.01, progress=False)


def test_more_than_unpacking_takes_is_not_packed(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "MAX_IMAGE_BYTES", 1000)
    with pytest.raises(InputError, match=r"forest00\.png would have \d+ bytes in the pack: cut it"):
        pack(tree, tmp_path / "p.zip", progress=False)


def test_a_link_to_nothing_is_bad_input(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"is a link to nowhere\.png, which is not there"):
        pack(tmp_path / "set", tmp_path / "p.zip", progress=False)
