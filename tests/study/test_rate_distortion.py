"""The experiment: each point measured once, an interrupted run resumed, codecs compared on equal images."""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from satstudy.codecs import JPEG, JPEG2000, WebP
from satstudy.core.errors import InputError, SatstudyError
from satstudy.data.images import write_image
from satstudy.metrics import quality as metrics
from satstudy.study import rate_distortion


def picture(height=64, width=48, seed=0):
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    return np.clip(gaussian_filter(noise, (2, 2, 0)) * 200 + 120, 0, 255).astype(np.uint8)


@dataclass
class Counting:
    """A codec that notes what it encodes, and can be made to fail as a killed process would."""

    quality: int
    seen: list
    stop_at: int | None = None
    name: str = "counting"

    @property
    def setting(self):
        return f"quality={self.quality}"

    def encode(self, image):
        if self.stop_at is not None and len(self.seen) >= self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(self.quality)
        return JPEG(self.quality).encode(image)

    def decode(self, data):
        return JPEG(self.quality).decode(data)


IMAGES = [(f"place/{k}, left.png", picture(seed=k), "port" if k % 2 else "dam") for k in range(4)]


def run(images, codecs, path, **options):
    return rate_distortion.evaluate(images, codecs, path, progress=False, **options)


def test_each_row_is_what_the_codec_and_the_metrics_say(tmp_path):
    codecs = [JPEG(30), JPEG(80), JPEG2000(bpp=2)]
    large = ("large", picture(170, 165), "dam")
    frame = run([*IMAGES[:1], large], codecs, tmp_path / "rd.csv")
    assert tuple(frame.columns) == rate_distortion.COLUMNS
    assert list(frame["image"]) == ["place/0, left.png"] * 3 + ["large"] * 3
    for row, (codec, image) in zip(
        frame.itertuples(), [(c, i) for i in (IMAGES[0][1], large[1]) for c in codecs], strict=True
    ):
        data = codec.encode(image)
        decoded = codec.decode(data)
        assert (row.codec, row.setting, row.bytes) == (codec.name, codec.setting, len(data))
        assert (row.height, row.width, row.category) == (*image.shape[:2], "dam")
        assert row.bpp == 8 * len(data) / (image.shape[0] * image.shape[1])
        assert row.psnr == metrics.psnr(image, decoded)
        assert row.ms_ssim == pytest.approx(metrics.ms_ssim(image, decoded), nan_ok=True)
        assert row.encode_s > 0
        assert row.decode_s > 0
    assert frame["ms_ssim"].isna().tolist() == [True] * 3 + [False] * 3
    pd.testing.assert_frame_equal(frame, rate_distortion.read_frame(tmp_path / "rd.csv"))


def test_a_second_run_measures_nothing_and_returns_the_same(tmp_path):
    seen = []
    codecs = [Counting(20, seen), Counting(60, seen)]
    first = run(IMAGES, codecs, tmp_path / "rd.csv")
    again = run(iter(IMAGES), codecs, tmp_path / "rd.csv")
    assert len(seen) == 8
    pd.testing.assert_frame_equal(first, again)
    run(IMAGES[:1], codecs, tmp_path / "rd.csv", resume=False)
    assert len(seen) == 10
    assert len(rate_distortion.read_frame(tmp_path / "rd.csv")) == 2


@pytest.mark.parametrize("stop_at", [0, 1, 4, 7])
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, stop_at):
    seen = []
    with pytest.raises(KeyboardInterrupt):
        run(IMAGES, [Counting(20, seen, stop_at), Counting(60, seen, stop_at)], tmp_path / "rd.csv")
    assert len(rate_distortion.read_frame(tmp_path / "rd.csv")) == stop_at
    frame = run(IMAGES, [Counting(20, seen), Counting(60, seen)], tmp_path / "rd.csv")
    assert len(seen) == 8
    assert seen.count(20) == 4
    assert not frame.duplicated(["image", "codec", "setting"]).any()
    assert len(frame) == 8


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_cut_short_by_a_crash_is_measured_again(tmp_path, cut):
    path, seen = tmp_path / "rd.csv", []
    whole = run(IMAGES, [Counting(20, seen)], path)
    path.write_bytes(path.read_bytes()[:-cut])
    again = run(IMAGES, [Counting(20, seen)], path)
    assert len(seen) == 5
    timeless = ["encode_s", "decode_s"]
    pd.testing.assert_frame_equal(whole.drop(columns=timeless), again.drop(columns=timeless))


def test_only_what_was_asked_for_is_returned_in_that_order(tmp_path):
    path = tmp_path / "rd.csv"
    run(IMAGES, [JPEG(20), JPEG(60)], path)
    frame = run([IMAGES[2], IMAGES[0]], [WebP(50), JPEG(60)], path)
    assert list(frame["image"]) == [IMAGES[2][0]] * 2 + [IMAGES[0][0]] * 2
    assert list(frame["codec"]) == ["webp", "jpeg"] * 2
    assert len(rate_distortion.read_frame(path)) == 10


def test_paths_are_named_by_folder_and_file(tmp_path):
    write_image(tmp_path / "port" / "a.png", picture())
    write_image(tmp_path / "dam" / "a.png", picture(seed=1))
    frame = run([tmp_path / "port" / "a.png", str(tmp_path / "dam" / "a.png")], [JPEG(50)], tmp_path / "rd.csv")
    assert list(frame["image"]) == ["port/a.png", "dam/a.png"]
    assert list(frame["category"]) == ["", ""]


def test_progress_counts_what_is_left(tmp_path, capsys):
    rate_distortion.evaluate(IMAGES[:1], [JPEG(20), JPEG(60)], tmp_path / "rd.csv")
    rate_distortion.evaluate(IMAGES[:2], [JPEG(20), JPEG(60)], tmp_path / "rd.csv")
    assert "2/2" in capsys.readouterr().err


def test_runs_that_would_mix_things_up_are_refused(tmp_path):
    path = tmp_path / "rd.csv"
    with pytest.raises(InputError, match="own name and setting"):
        run(IMAGES, [JPEG(20), JPEG(20)], path)
    with pytest.raises(InputError, match="own name and setting"):
        run(IMAGES, [], path)
    with pytest.raises(InputError, match="Two images are called"):
        run([IMAGES[0], IMAGES[0]], [JPEG(20)], path)
    with pytest.raises(InputError, match="No image"):
        run([], [JPEG(20)], path)
    run(IMAGES[:1], [JPEG(20)], path)
    with pytest.raises(InputError, match="of another size"):
        run([(IMAGES[0][0], picture(20, 20), "dam")], [JPEG(30)], path)
    other = tmp_path / "other.csv"
    for text in ("a,b\n1,2\n", "a,b\n1,2", "no table"):  # the last lines are not cut either
        other.write_text(text)
        with pytest.raises(InputError, match="no rate-distortion table"):
            run(IMAGES, [JPEG(20)], other)
        assert other.read_text() == text


def test_names_are_told_before_anything_is_measured(tmp_path):
    path, codec = tmp_path / "rd.csv", Counting(50, [])
    for name, words in (
        ("n/new\nline.png", r"'n/new\\nline.png' has a line break in its name: rename it"),
        (os.fsdecode(b"n/a\xff.png"), "has a name that is not UTF-8, which a table cannot hold: rename it"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / name, picture())
        with pytest.raises(InputError, match=words):
            run([IMAGES[0], tmp_path / name], [codec], path)
    assert codec.seen == []
    assert not path.exists()


def test_paths_that_end_alike_are_told_apart_by_more_of_their_folders(tmp_path):
    paths = [tmp_path / name for name in ("x/s/1.png", "z/s/1.png", "z/s/2.png", "q/x/s/1.png")]
    for i, path in enumerate(paths):
        write_image(path, picture(seed=i))
    frame = run(paths, [JPEG(50)], tmp_path / "rd.csv")
    last = tmp_path.name
    assert list(frame["image"]) == [f"{last}/x/s/1.png", "z/s/1.png", "s/2.png", "q/x/s/1.png"]


def test_a_run_goes_on_without_what_cannot_be_read_if_told_so(tmp_path):
    write_image(tmp_path / "a.png", picture())
    (tmp_path / "bad.png").write_text("no image")
    paths = [tmp_path / "bad.png", tmp_path / "a.png"]
    with pytest.raises(InputError, match=r"bad\.png is no image"):
        run(paths, [JPEG(50)], tmp_path / "rd.csv")
    unusable = []
    frame = run(paths, [JPEG(50)], tmp_path / "rd.csv", unusable=unusable)
    assert list(frame["image"]) == [f"{tmp_path.name}/a.png"]
    assert len(unusable) == 1
    with pytest.raises(InputError, match=r"bad\.png is no image"):
        run(paths[:1], [JPEG(50)], tmp_path / "rd.csv", unusable=[])


def test_an_image_a_codec_cannot_hold_is_named(tmp_path):
    with pytest.raises(InputError, match=r"wide with webp quality=50: .*16383"):
        run([("wide", np.zeros((1, 16_384, 3), np.uint8), "")], [WebP(50)], tmp_path / "rd.csv")


def test_a_codec_that_changes_the_size_is_a_failure(tmp_path):
    class Cropping(Counting):
        def decode(self, data):
            return super().decode(data)[1:]

    with pytest.raises(SatstudyError, match="turned"):
        run(IMAGES, [Cropping(50, [])], tmp_path / "rd.csv")
