"""The measurements behind the notebooks, on a study of a few small scenes."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from small_study import CONTENT, place, tiny

from satstudy.codecs import JPEG
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core.errors import InputError
from satstudy.core.pixels import luminance
from satstudy.data.images import read_image
from satstudy.report.figures_images import saved_crops, saved_seam
from satstudy.study import rate_distortion
from satstudy.study.experiments import (
    blend_image,
    checkpoints,
    detailed_crop,
    example_codings,
    example_images,
    places,
    rate_crops,
    rate_distortion_frame,
    seam_crops,
    seam_frame,
    seam_images,
    set_frame,
    speed_frame,
    tilings_frame,
    training_metrics,
    wrapping_frame,
)
from satstudy.study.study import open_study

#: No training: the weights that ship serve as they are.
STILL = {"steps": 0, "lams": [0.01]}
CODECS = CONTENT["rd"]["codecs"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model):
    """A repository whose tiny study has its scenes."""
    folder = tmp_path_factory.mktemp("study")
    with place(folder, tiny_model):
        _ = open_study(tiny(), progress=False).manifest
    return folder


@pytest.fixture
def opened(folder, tiny_model, one_thread):
    """`opened(rd=…)`: the tiny study with changes."""
    with place(folder, tiny_model):
        for path in (folder / "build" / "tiny").glob("rd*"):
            shutil.rmtree(path)
        yield lambda **changes: open_study(tiny(**{"train": STILL, **changes}), progress=False)


@pytest.fixture
def coded(monkeypatch):
    """What is coded from here on, as (codec, setting, height, width)."""
    calls = []
    for kind in (JPEG, LearnedCodec):
        encode = kind.encode

        def counting(self, image, *rest, _encode=encode, **named):
            calls.append((self.name, self.setting, *image.shape[:2]))
            return _encode(self, image, *rest, **named)

        monkeypatch.setattr(kind, "encode", counting)
    return calls


# --- Rate and distortion ----------------------------------------------------------------------------------


def test_every_codec_codes_the_same_images(opened):
    study = opened()
    frame = rate_distortion_frame(study, [0.01])
    assert list(frame.columns) == list(rate_distortion.COLUMNS)
    names = {name for name, _, _ in study.rd_images()}
    settings = frame.groupby(["codec", "setting"])["image"].agg(set)
    assert set(settings.index) == {
        ("jpeg", "quality=20"), ("jpeg", "quality=80"), ("jpeg2000", "bpp=0.5"), ("mbt2018", "lam=0.01"),
    }  # fmt: skip
    assert all(images == names for images in settings)
    assert len(frame) == 8
    assert (frame["bpp"] * frame["height"] * frame["width"]).round(6).eq(8 * frame["bytes"]).all()


def test_a_second_run_codes_nothing_and_returns_the_same(opened, coded):
    first = rate_distortion_frame(opened(), [0.01])
    assert len(coded) == 6
    again = rate_distortion_frame(opened(), [0.01])
    assert len(coded) == 6
    assert again.equals(first)
    more = rate_distortion_frame(opened(rd={"codecs": {**CODECS, "jpeg": [20, 50, 80]}}), [0.01])
    assert [call[:2] for call in coded[6:]] == [("jpeg", "quality=50")] * 2
    assert len(more) == 10


def test_another_crop_of_the_same_images_is_coded_anew(opened, coded):
    rate_distortion_frame(opened(), [0.01])
    before = len(coded)
    frame = rate_distortion_frame(opened(rd={"crop": 64}), [0.01])
    assert set(frame["height"]) == {64}
    assert len(coded) == 2 * before
    # Nor are the whole images forgotten.
    assert min(rate_distortion_frame(opened(), [0.01])["width"]) == 176
    assert len(coded) == 2 * before


def test_another_tiling_and_other_weights_are_coded_anew(opened, coded, make_model):
    rate_distortion_frame(opened(), [0.01])
    before = len(coded)
    rate_distortion_frame(opened(rd={"tiling": "independent"}), [0.01])
    assert [call[0] for call in coded[before:]] == ["mbt2018"] * 2
    study = opened()
    path = study.weights(0.01).path
    kept = path.read_bytes()
    try:
        from small_study import ship

        ship(path.parent, make_model(3), 0.01)
        rate_distortion_frame(opened(), [0.01])
    finally:
        path.write_bytes(kept)
    assert [call[0] for call in coded[before + 2 :]] == ["mbt2018"] * 2


def test_the_readers_own_images_are_measured_by_themselves(opened, coded, tmp_path, picture):
    for name in ("a/x.png", "b/x.png"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(picture(64, 80, len(name))).save(tmp_path / name)
    frame = rate_distortion_frame(opened(), [0.01], str(tmp_path))
    assert set(frame["image"]) == {"a/x.png", "b/x.png"}
    assert set(frame["height"]) == {64}
    assert len(coded) == 6
    rate_distortion_frame(opened(), [0.01], str(tmp_path))
    assert len(coded) == 6
    assert min(rate_distortion_frame(opened(), [0.01])["height"]) == 176


def test_figures_choose_among_the_readers_own_images_too(opened, tmp_path, picture):
    for i in range(33):
        Image.fromarray(picture(24, 24, i) // (40 - i)).save(tmp_path / f"{i:02}.png")
    found = example_images(opened(), str(tmp_path))
    assert found == [tmp_path / f"{i:02}.png" for i in range(0, 33, 2)]
    assert example_images(opened(), str(found[3])) == [found[3]]
    _, facts = rate_crops(opened(), found)
    spreads = {path.name: luminance(read_image(path)).var() for path in found}
    assert spreads[facts["image"]] == np.median(list(spreads.values()))
    firsts = example_images(opened())
    assert [path.parent.parent.name for path in firsts] == sorted({path.parent.parent.name for path in firsts})


def test_an_own_image_that_changed_is_coded_anew(opened, tmp_path, picture):
    path = tmp_path / "x.png"
    Image.fromarray(picture(64, 64, 1)).save(path)
    first = rate_distortion_frame(opened(), [0.01], str(path))
    assert set(first["image"]) == {"x.png"}
    Image.fromarray(picture(64, 64, 2)).save(path)
    os.utime(path, ns=(1, 1))
    assert not rate_distortion_frame(opened(), [0.01], str(path))["bytes"].equals(first["bytes"])
    with pytest.raises(InputError, match="no file or folder"):
        rate_distortion_frame(opened(), [0.01], str(tmp_path / "none"))


# --- Seams ------------------------------------------------------------------------------------------------


def test_an_image_is_coded_in_every_way_and_measured(opened, picture):
    study, image = opened(), picture(272, 260)
    made = blend_image(study, image, 0.01)
    ways = [(way.tiling, way.weighting, way.overlap) for way in made]
    assert ways == [("independent", "none", 0), ("blend", "mean", 8), ("blend", "ramp", 8), ("seamless", "none", 0)]
    assert all(way.decoded.shape == image.shape for way in made)
    mean, ramp = made[1], made[2]
    assert not np.array_equal(mean.decoded, ramp.decoded)
    frame = seam_frame(study, "scene.png", image, made, 0.01)
    assert {
        "image", "lam", "tiling", "weighting", "patch", "overlap", "bytes", "bpp", "psnr", "psnr_near", "psnr_away",
        "seam", "seam_original",
    } <= set(frame.columns)  # fmt: skip
    assert frame["tiling"].tolist() == [way.tiling for way in made]
    assert frame["bytes"].tolist() == [way.data_bytes for way in made]
    assert set(frame["image"]) == {"scene.png"}
    assert np.allclose(frame["bpp"], 8 * frame["bytes"] / (272 * 260))


def test_what_is_kept_of_a_seam_and_of_the_rates_draws_their_figures(opened, picture):
    study, image = opened(), picture(300, 520)
    made = {way.tiling: way for way in blend_image(study, image, 0.01) if way.weighting != "ramp"}
    crops, facts = seam_crops("scene.png", image, made["independent"], made["blend"], made["seamless"], 0.01)
    top, left, size = facts["top"], facts["left"], facts["size"]
    assert (crops["original"] == image[top : top + size, left : left + size]).all()
    assert (crops["blend"] == made["blend"].decoded[top : top + size, left : left + size]).all()
    assert (facts["height"], facts["width"], facts["overlap"]) == (300, 520, 8)
    saved_seam(crops, facts)
    crops, facts = rate_crops(study, example_images(study), side=96)
    (name, codec, rate, _), (other, like_codec, like, _) = facts["coded"]
    assert (name, codec, other, like_codec) == ("mbt2018-1", "mbt2018", "jpeg-1", "jpeg")
    assert {crop.shape for crop in crops.values()} == {(96, 96, 3)}
    # The qualities beside it are farther from the size of the learned file.
    source = read_image(next(path for path in study.images("val-compress") if path.name == facts["image"]))
    sizes = [8 * len(JPEG(quality).encode(source)) / source[..., 0].size for quality in range(1, 101)]
    assert abs(like - rate) == pytest.approx(min(abs(size - rate) for size in sizes))
    saved_crops(crops, facts)


def test_seams_are_looked_at_in_the_largest_images(opened):
    (only,) = seam_images(opened())
    sizes = [record.height * record.width for record in opened().records("val-compress")]
    assert only[1].shape[0] * only[1].shape[1] == max(sizes) > min(sizes)
    assert only[0].startswith("val/")
    assert len(seam_images(opened(blending={"images": 3}))) == 3


def scenes(folder, picture):
    """Two places, one of them seen twice, as a folder of large scenes."""
    made = folder / "scenes"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for seed, name in enumerate(("north_1.png", "north_2.png", "south.png")):
        Image.fromarray(picture(190, 180 + 10 * seed, seed)).save(made / name)
    return {"sets": {"north": "scenes", "south": "scenes"}, "scenes_crop": 176}


def test_sets_are_coded_by_every_codec_and_resampled_by_place(opened, folder, picture, coded):
    study = opened(rd=scenes(folder, picture))
    frame = set_frame(study, "north", [0.01])
    assert set(frame["codec"]) == {"jpeg", "jpeg2000", "mbt2018"}
    assert places(frame) == {"north_1.png": "north", "north_2.png": "north"}
    assert frame.groupby(["codec", "setting"])["image"].nunique().eq(2).all()
    assert set(frame["height"]) == set(frame["width"]) == {176}
    assert frame["ms_ssim"].isna().all()
    before = len(coded)
    assert set_frame(study, "north", [0.01]).equals(frame)
    jpeg = set_frame(study, "north", [0.01], ["jpeg"])
    assert jpeg.equals(frame[frame["codec"] == "jpeg"].reset_index(drop=True))
    assert len(coded) == before, "a second run codes nothing"
    with pytest.raises(InputError, match="has no set 'east': take one of north, south"):
        set_frame(study, "east", [0.01])


def test_tilings_are_coded_over_the_ladder(opened, picture):
    frame = tilings_frame(opened(), [("north_1.png", picture(190, 180, 0))], [0.01])
    assert list(frame["codec"]) == ["mbt2018-independent", "mbt2018-blend", "mbt2018-seamless"]
    assert places(frame) == {"north_1.png": "north"}


def test_wrapping_and_speed_cover_the_codecs_of_the_profile(opened, folder, picture):
    codecs = {"jpeg": [20, 80], "jpeg2000": 0.5, "mbt2018": "default", "mbt2018-refined": "default"}
    study = opened(train=CONTENT["train"], rd={**scenes(folder, picture), "speed": 1, "codecs": codecs, "refine": 1})
    wrapping = wrapping_frame(study, [0.01]).set_index("codec")
    assert set(wrapping.index) == set(codecs)
    assert 10 < wrapping["bytes"]["mbt2018"] < wrapping["bytes"]["jpeg2000"] < wrapping["bytes"]["jpeg"] < 1000
    assert wrapping["version"]["jpeg2000"].startswith("OpenJPEG")
    speed = speed_frame(study, [0.005, 0.01])
    assert set(speed["codec"]) == {"jpeg", "jpeg2000", "mbt2018", "mbt2018-refine20", "mbt2018-refine100",
                                   "mbt2018-refine500"}  # fmt: skip
    assert set(speed["image"]) == {"north_1.png"}
    learned = speed.loc[speed["codec"].str.startswith("mbt2018"), "setting"]
    assert set(learned.str.partition(" ")[0]) == {"lam=0.01"}, "refined or not, at the same λ"
    assert (speed[["encode_s", "decode_s"]] > 0).all(axis=None)
    del codecs["mbt2018-refined"]
    study = opened(rd={**scenes(folder, picture), "speed": 1, "codecs": codecs})
    assert set(speed_frame(study, [0.01])["codec"]) == {"jpeg", "jpeg2000", "mbt2018"}


def test_seams_are_looked_at_in_the_folder_of_the_profile(opened, folder, picture):
    scenes(folder, picture)
    found = seam_images(opened(blending={"root": "scenes", "images": 2}))
    assert [name for name, _ in found] == ["south.png", "north_2.png"]
    assert found[0][1].shape == (190, 200, 3)
    # Blocks of a JPEG would meet the seams: it is halved, for either experiment.
    Image.fromarray(picture(401, 380, 5)).save(folder / "scenes" / "west.jpg")
    found = dict(seam_images(opened(blending={"root": "scenes", "images": 2})))
    assert found["west.jpg"].shape == (200, 190, 3)


@pytest.mark.parametrize("change", [{"rd": {"sets": {"naip": "nowhere"}}}, {"blending": {"root": "nowhere"}}])
def test_a_folder_that_is_not_there_names_the_setting(opened, change):
    with pytest.raises(InputError, match=r"nowhere.*put or link them there, or leave (naip|blending\.root) out"):
        (set_frame(opened(**change), "naip", [0.01]) if "rd" in change else seam_images(opened(**change)))


# --- Crops for the eye ------------------------------------------------------------------------------------


def test_the_crop_with_the_most_detail_is_found():
    image = np.full((100, 160, 3), 90, np.uint8)
    image[60:100:2, 80:120] = 255
    top, left = detailed_crop(image, 40)
    assert (top, left) == (60, 80)
    assert detailed_crop(np.zeros((20, 30, 3), np.uint8), 40) == (0, 0), "smaller than the crop"
    assert detailed_crop(np.zeros((100, 100, 3), np.uint8), 40) == (0, 0), "the first of equals"


@pytest.mark.parametrize("shape", [(40, 40), (41, 95), (200, 40)])
def test_the_crop_lies_within_the_image(picture, shape):
    top, left = detailed_crop(picture(*shape), 40)
    assert 0 <= top <= shape[0] - 40
    assert 0 <= left <= shape[1] - 40


def test_example_codings_are_crops_with_the_figures_of_the_whole_image(picture):
    image = picture(64, 96)
    (low, high) = example_codings(image, [JPEG(10), JPEG(90)], 16, 32, 24)
    assert low[0] == high[0] == "jpeg"
    assert low[1].shape == (24, 24, 3)
    assert np.array_equal(low[1], JPEG(10).decode(JPEG(10).encode(image))[16:40, 32:56])
    assert low[2] == 8 * len(JPEG(10).encode(image)) / (64 * 96) < high[2]
    assert low[3] < high[3]


# --- Weights ----------------------------------------------------------------------------------------------


def test_checkpoints_and_metrics_of_a_ladder(opened):
    still = opened()
    assert [checkpoint.lam for checkpoint in checkpoints(still, [0.01])] == [0.01]
    assert training_metrics(still, [0.01]) == {}, "nothing was trained"
    trained = opened(train={"lams": [0.01], "steps": 2})
    checkpoints(trained, [0.01])
    metrics = training_metrics(trained, [0.01, 0.02])
    assert list(metrics) == ["λ=0.01"]
    assert set(metrics["λ=0.01"]["split"]) == {"train", "validation"}
