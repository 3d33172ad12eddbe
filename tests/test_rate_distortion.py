"""The experiment: each point measured once, an interrupted run resumed, codecs compared on equal images."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from satstudy import metrics, rate_distortion
from satstudy.codecs import JPEG, JPEG2000, WebP
from satstudy.data.images import write_image
from satstudy.errors import InputError, SatstudyError


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
    with pytest.raises(InputError, match="of another size"):
        run([(IMAGES[0][0], picture(20, 20), "dam")], [JPEG(30)], path)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no rate-distortion table"):
        run(IMAGES, [JPEG(20)], other)
    assert other.read_text() == "a,b\n1,2\n"


def test_an_image_a_codec_cannot_hold_is_named(tmp_path):
    with pytest.raises(InputError, match=r"wide with webp quality=50: .*16383"):
        run([("wide", np.zeros((1, 16_384, 3), np.uint8), "")], [WebP(50)], tmp_path / "rd.csv")


def test_a_codec_that_changes_the_size_is_a_failure(tmp_path):
    class Cropping(Counting):
        def decode(self, data):
            return super().decode(data)[1:]

    with pytest.raises(SatstudyError, match="turned"):
        run(IMAGES, [Cropping(50, [])], tmp_path / "rd.csv")


# --- Comparing ------------------------------------------------------------------------------------------

RATES, PSNRS = np.array([0.1, 0.2, 0.4, 0.8, 1.6]), np.array([24.0, 27.0, 30.5, 34.0, 38.0])


def frame_of(factors, images=12, spread=0.05, seed=0):
    """A frame in which codec c needs factors[c] of the reference's rate, with a spread over images."""
    generator = np.random.default_rng(seed)
    rows = []
    for k in range(images):
        content = math.exp(generator.normal(0, 0.4))
        for codec, factor in factors.items():
            needs = factor * content * (1 + generator.uniform(-spread, spread))
            for s, (rate, psnr) in enumerate(zip(RATES, PSNRS, strict=True)):
                rows.append(
                    (f"{k:02}", codec, f"s={s}", rate * needs, psnr, 0.9, 0.1, 0.1, 1, 8, 8, "port" if k % 3 else "dam")
                )
    return pd.DataFrame(rows, columns=rate_distortion.COLUMNS).sample(frac=1, random_state=1)


def test_mean_curves_average_over_images_by_setting():
    frame = frame_of({"jpeg": 2.0, "jpeg2000": 1.0})
    curves = rate_distortion.mean_curves(frame)
    assert list(curves.columns) == ["codec", "setting", "bpp", "psnr", "ms_ssim", "images"]
    assert list(curves["setting"]) == [f"s={s}" for s in range(5)] * 2
    assert set(curves["images"]) == {12}
    expected = frame[(frame["codec"] == "jpeg") & (frame["setting"] == "s=2")]["bpp"].mean()
    assert curves.loc[2, "bpp"] == pytest.approx(expected)
    frame.loc[frame.index[0], "ms_ssim"] = math.nan
    assert rate_distortion.mean_curves(frame)["ms_ssim"].isna().sum() == 1


def test_interpolated_curves_are_of_equal_rates():
    curves = rate_distortion.interpolated_curves(frame_of({"a": 1.0, "b": 0.5}), count=9)
    assert curves.groupby("codec").size().to_dict() == {"a": 9, "b": 9}
    assert curves["psnr"].between(24, 38).all()
    frame = frame_of({"a": 1.0, "b": 0.5})
    frame.loc[(frame["codec"] == "b") & (frame["image"] == "03"), "bpp"] *= 1000
    with pytest.raises(InputError, match="b: No rate is reached by all 12 images"):
        rate_distortion.interpolated_curves(frame)
    assert set(rate_distortion.interpolated_curves(frame, ["a"])["codec"]) == {"a"}


def test_bd_rates_find_the_factor_within_their_interval():
    table = rate_distortion.bd_rates(frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "learned": 0.7}), n=300)
    assert list(table["codec"]) == ["jpeg", "learned"]
    assert set(table["images"]) == {12}
    for row, truth in zip(table.itertuples(), (100, -30), strict=True):
        assert row.low < truth < row.high
        assert row.low < row.bd_rate < row.high
        assert row.per_image_low < row.per_image < row.per_image_high
        assert (row.psnr_low, row.psnr_high, row.note) == (24, 38, "")


def test_per_image_bd_rates_do_not_depend_on_how_rate_is_dealt_out_to_images():
    """Two curves equal within every image, one sampled at equal rates and one at equal PSNR."""
    rows = []
    for k, content in enumerate(np.geomspace(0.1, 10, 8)):
        for s, rate in enumerate(np.geomspace(0.001, 100, 12)):
            # PSNR = 30 + 6·log2(rate/content) on both.
            steered = {"rate": rate, "quality": rate * content}
            for codec, bpp in steered.items():
                psnr = 30 + 6 * math.log2(bpp / content)
                rows.append((f"{k}", codec, f"s={s}", bpp, psnr, 0.9, 0.1, 0.1, 1, 8, 8, ""))
    table = rate_distortion.bd_rates(pd.DataFrame(rows, columns=rate_distortion.COLUMNS), "rate", n=50)
    assert table["bd_rate"][0] > 50
    assert (table["per_image"][0], table["per_image_low"][0], table["per_image_high"][0]) == pytest.approx((0, 0, 0))


def test_a_codec_that_shares_no_psnr_gets_a_note_instead_of_a_number():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "webp": 1.5})
    frame.loc[frame["codec"] == "jpeg", "psnr"] += 50
    table = rate_distortion.bd_rates(frame, n=50).set_index("codec")
    assert math.isnan(table.loc["jpeg", "bd_rate"])
    assert "share no PSNR" in table.loc["jpeg", "note"]
    assert table.loc["webp", "bd_rate"] == pytest.approx(50, abs=10)


def test_objects_are_drawn_together():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0})
    one = rate_distortion.bd_rates(frame, n=50, objects={f"{k:02}": "same" for k in range(12)})
    assert math.isnan(one["low"][0])
    assert one["bd_rate"][0] == pytest.approx(100, abs=15)
    with pytest.raises(InputError, match="No object is given for 01"):
        rate_distortion.bd_rates(frame, objects={"00": "a"})


def test_rate_saved_at_equal_psnr_as_in_table_1():
    frame = frame_of({"learned": 0.67 / 0.84, "learned-natural": 1.0, "jpeg": 2.0})
    found = rate_distortion.rate_saved_at_psnr(frame, "learned", "learned-natural", 32.8, n=300)
    assert found.psnr == 32.8
    assert found.low < 100 * (1 - 0.67 / 0.84) < found.high
    assert found.saved == pytest.approx(100 * (1 - found.bpp_a / found.bpp_b))
    assert rate_distortion.rate_saved_at_psnr(frame, "learned", "learned-natural", n=20).psnr == 31
    with pytest.raises(InputError, match="outside"):
        rate_distortion.rate_saved_at_psnr(frame, "learned", "learned-natural", 50)
    with pytest.raises(InputError, match="no codec 'bpg'"):
        rate_distortion.rate_saved_at_psnr(frame, "bpg", "learned")


def test_by_category_compares_within_each():
    table = rate_distortion.by_category(frame_of({"jpeg2000": 1.0, "jpeg": 2.0}), n=50)
    assert list(table.columns)[:2] == ["category", "codec"]
    assert dict(zip(table["category"], table["images"], strict=True)) == {"dam": 4, "port": 8}


def test_a_codec_that_lacks_images_is_named_with_them():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0})
    gap = frame[~((frame["codec"] == "jpeg") & (frame["setting"] == "s=1") & (frame["image"] == "03"))]
    for compare in (rate_distortion.image_set, rate_distortion.mean_curves, rate_distortion.bd_rates):
        with pytest.raises(InputError, match="jpeg s=1 lacks 03"):
            compare(gap)
    assert rate_distortion.image_set(frame) == [f"{k:02}" for k in range(12)]


def test_rows_that_stand_twice_and_empty_tables_are_refused():
    frame = frame_of({"jpeg2000": 1.0})
    with pytest.raises(InputError, match="stands twice"):
        rate_distortion.image_set(pd.concat([frame, frame.iloc[:1]]))
    with pytest.raises(InputError, match="no rows"):
        rate_distortion.image_set(frame.iloc[:0])


def test_a_lossless_point_has_no_mean_psnr():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0})
    frame.loc[(frame["codec"] == "jpeg") & (frame["image"] == "05"), "psnr"] = math.inf
    with pytest.raises(InputError, match="codes 05 without loss"):
        rate_distortion.mean_curves(frame)
