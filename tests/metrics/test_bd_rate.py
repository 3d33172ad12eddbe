"""satstudy.metrics.bd_rate: BD-rates and rates saved, over the same images."""

import csv
import math

import numpy as np
import pandas as pd
import pytest
from bjontegaard import bd_rate as library
from hypothesis import given, settings
from hypothesis import strategies as st
from measured_frames import PSNRS, RATES, frame_of
from scipy.integrate import simpson
from scipy.interpolate import pchip_interpolate

from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.metrics import bd_rate
from satstudy.metrics.bd_rate import bd_rates, by_category, image_set, mean_curves, rate_at_psnr, rate_saved_at_psnr
from satstudy.study import rate_distortion

# --- Two curves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.0, 2.0])
def test_bd_rate_of_a_constant_factor_is_that_factor(factor):
    found = bd_rate.bd_rate(RATES, PSNRS, factor * RATES, PSNRS)
    assert found == pytest.approx(100 * (factor - 1), abs=1e-9)


def test_bd_rate_takes_different_numbers_of_points_in_any_order():
    # Both on the line log2(bpp) = (PSNR − 30)/6, the second at 80 % of the rate.
    psnr_a, psnr_b = np.array([36.0, 24, 30]), np.array([27.0, 33, 39, 25, 29])
    found = bd_rate.bd_rate(2 ** ((psnr_a - 30) / 6), psnr_a, 0.8 * 2 ** ((psnr_b - 30) / 6), psnr_b)
    assert found == pytest.approx(-20)


def test_bd_rate_ignores_a_dearer_point_of_equal_psnr():
    found = bd_rate.bd_rate(RATES, PSNRS, [*(0.5 * RATES), 9.0], [*PSNRS, PSNRS[-1]])
    assert found == pytest.approx(-50)


@pytest.mark.parametrize(
    ("bpp", "psnr", "words"),
    [
        (RATES, PSNRS + 50, "share no PSNR"),
        (RATES, [*PSNRS[:-1], math.inf], "finite"),
        ([0.0, *RATES[1:]], PSNRS, "above 0"),
        ([1.0], [30.0], "two points"),
        (RATES[1:], PSNRS, "as many"),
    ],
)
def test_curves_without_a_bd_rate_say_why(bpp, psnr, words):
    with pytest.raises(InputError, match=words):
        bd_rate.bd_rate(RATES, PSNRS, bpp, psnr)


def test_rate_at_psnr_meets_the_points_and_is_nan_outside():
    for rate, psnr in zip(RATES, PSNRS, strict=True):
        assert rate_at_psnr(RATES, PSNRS, psnr) == pytest.approx(rate)
    assert 0.2 < rate_at_psnr(RATES, PSNRS, 28.0) < 0.4
    assert math.isnan(rate_at_psnr(RATES, PSNRS, 50.0))


# --- Mean curves ------------------------------------------------------------------------------------------


def of_means(reference, test, **bootstrap):
    """BD-rate of mean curves, each (bpp, psnr) of shape (images, settings), with its interval."""
    rows = [
        (f"{i:02}", codec, f"s={s}", bpp[i, s], psnr[i, s])
        for codec, (bpp, psnr) in (("jpeg2000", reference), ("test", test))
        for i, s in np.ndindex(bpp.shape)
    ]
    frame = pd.DataFrame(rows, columns=["image", "codec", "setting", "bpp", "psnr"])
    return bd_rates(frame, **bootstrap).loc[0]


def curves(images=25, seed=8):
    """Curves by image: contents differ much, and the test codec needs 70–90 % of the rate on each."""
    generator = np.random.default_rng(seed)
    content = np.exp(generator.normal(0, 0.5, (images, 1)))
    saving = generator.uniform(0.7, 0.9, (images, 1))
    psnr = np.tile(PSNRS, (images, 1)) + generator.normal(0, 1, (images, 1))
    return (RATES * content, psnr), (RATES * content * saving, psnr)


def test_the_interval_of_mean_curves_holds_the_saving_and_pairs_images():
    row = of_means(*curves(), resamples=300)
    assert -30 < row.of_means_low < row.of_means < row.of_means_high < -10
    # The contents' spread of 50 % cancels because images are drawn for both codecs at once.
    assert row.of_means_high - row.of_means_low < 10


def test_the_interval_of_mean_curves_is_as_wide_as_zero_for_a_constant_factor():
    (rate, psnr), _ = curves()
    row = of_means((rate, psnr), (rate / 2, psnr), resamples=200)
    assert (row.of_means, row.of_means_low, row.of_means_high) == pytest.approx((-50, -50, -50))


def test_mean_curves_that_cannot_be_compared_say_why():
    (rate, psnr), _ = curves()
    with pytest.raises(InputError, match="lacks 24: codecs are compared on equal images only"):
        of_means((rate, psnr), (rate[:-1], psnr[:-1]))
    row = of_means((rate, psnr), (rate, psnr + 90))
    assert math.isnan(row.of_means)
    assert "share no PSNR" in row.note


# --- Codecs over images -----------------------------------------------------------------------------------


def test_bd_rates_find_the_factor_within_their_interval():
    table = bd_rates(frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "mbt2018": 0.7}), resamples=300)
    assert list(table["codec"]) == ["jpeg", "mbt2018"]
    assert set(table["images"]) == {12}
    for row, truth in zip(table.itertuples(), (100, -30), strict=True):
        assert row.low < truth < row.high
        assert row.low < row.bd_rate < row.high
        assert row.of_means_low < row.of_means < row.of_means_high
        assert row.of_means == pytest.approx(truth, abs=5)
        assert (row.compared, row.psnr_low, row.psnr_high, row.note) == (12, 24, 38, "")


def test_bd_rates_do_not_depend_on_how_rate_is_dealt_out_to_images():
    """Two curves equal within every image, one sampled at equal rates and one at equal PSNR."""
    rows = []
    for k, content in enumerate(np.geomspace(0.1, 10, 8)):
        for s, rate in enumerate(np.geomspace(0.001, 100, 12)):
            # PSNR = 30 + 6·log2(rate/content) on both.
            curves = {"rate": rate, "quality": rate * content}
            for codec, bpp in curves.items():
                psnr = 30 + 6 * math.log2(bpp / content)
                rows.append((f"{k}", codec, f"s={s}", bpp, psnr, 0.9, 0.1, 0.1, 1, 8, 8, ""))
    table = bd_rates(pd.DataFrame(rows, columns=rate_distortion.COLUMNS), "rate", resamples=50)
    assert table["of_means"][0] > 50
    assert (table["bd_rate"][0], table["low"][0], table["high"][0]) == pytest.approx((0, 0, 0))


def test_a_codec_whose_settings_lambda_chose_is_still_itself_but_not_in_its_mean_curve():
    """The control of the reference page, where the truth is known: 0."""
    rows = []
    for k, content in enumerate(np.geomspace(0.2, 5, 9)):
        for s, rate in enumerate(np.geomspace(0.01, 10, 60)):
            mse = 400 * content * 2.0 ** (-3 * (rate / content) ** 0.5)
            psnr = 10 * math.log10(255**2 / mse)
            rows.append((f"{k}", "jpeg2000", f"s={s}", rate, psnr, 0.9, 0.1, 0.1, 1, 8, 8, ""))
    frame = pd.DataFrame(rows, columns=rate_distortion.COLUMNS)
    lams = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064]
    control = bd_rate.choose_by_lambda(frame, "jpeg2000", lams)
    assert control.groupby("setting")["image"].nunique().eq(9).all()
    one = frame[frame["image"] == "4"]
    cost = 0.004 * 255**2 * 10 ** (-one["psnr"] / 10) + one["bpp"]
    chosen = control[(control["image"] == "4") & (control["setting"] == "lam=0.004")]
    assert chosen["bpp"].item() == one.loc[cost.idxmin(), "bpp"]
    (row,) = bd_rate.bd_rates(pd.concat([frame, control], ignore_index=True), resamples=50).itertuples()
    assert row.codec == "jpeg2000-by-lambda"
    assert row.bd_rate == pytest.approx(0, abs=0.5)
    assert row.of_means > 3


def test_images_with_too_little_in_common_are_left_out_for_all_codecs():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "mbt2018": 0.7}, spread=0)
    odd = (frame["codec"] == "jpeg") & (frame["image"] == "03")
    frame.loc[odd, "psnr"] += 13.5
    table = bd_rates(frame, resamples=50).set_index("codec")
    assert table["compared"].tolist() == [11, 11]
    assert table["bd_rate"].tolist() == pytest.approx([100, -30])
    # A codec that most images are lost by is left out itself.
    frame.loc[(frame["codec"] == "jpeg") & (frame["image"] > "02"), "psnr"] += 13.5
    table = bd_rates(frame, resamples=50).set_index("codec")
    assert math.isnan(table.loc["jpeg", "bd_rate"])
    assert table.loc["jpeg", "note"] == "3 of 12 images share 1 dB or more: add settings."
    assert table["compared"].to_dict() == {"jpeg": 0, "mbt2018": 12}


def test_every_pair_is_compared_directly_and_both_ways():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "mbt2018": 0.7, "mbt2018-natural": 0.8})
    table = bd_rate.all_pairs(frame, resamples=50)
    assert len(table) == 12
    assert bd_rate.rows_against(table, "mbt2018-natural").set_index("codec")["bd_rate"]["mbt2018"] == pytest.approx(
        -12.5, abs=3
    )
    cells = table.set_index(["codec", "reference"])
    for (codec, reference), row in cells.iterrows():
        back = cells.loc[(reference, codec)]
        assert (1 + row["bd_rate"] / 100) * (1 + back["bd_rate"] / 100) == pytest.approx(1)
        assert (1 + row["of_means"] / 100) * (1 + back["of_means"] / 100) == pytest.approx(1)
        assert row["low"] <= row["bd_rate"] <= row["high"]
        assert (row["shared_low"], row["shared_high"], row["compared"]) == (24, 38, 12)
    one = bd_rates(frame[frame["codec"].isin(["jpeg", "mbt2018"])], "jpeg", resamples=50).iloc[0]
    pd.testing.assert_series_equal(one, table[(table["codec"] == "mbt2018") & (table["reference"] == "jpeg")].iloc[0],
                                   check_names=False)  # fmt: skip
    with pytest.raises(InputError, match="compares with jpeg, jpeg2000, mbt2018, mbt2018-natural, not with webp"):
        bd_rate.rows_against(table, "webp")


def test_each_codec_is_compared_over_the_range_it_shares_with_the_reference():
    """The third codec reaches 27–34 dB alone; the saving of the second grows with PSNR."""
    frame = frame_of({"a": 1.0, "b": 1.0, "c": 3.0}, spread=0)
    steep = (frame["codec"] == "b") & (frame["psnr"] > 34)
    frame.loc[steep, "bpp"] *= 0.25
    frame = frame[(frame["codec"] != "c") | frame["psnr"].between(27, 34)]
    table = bd_rates(frame, "a", resamples=20).set_index("codec")
    assert table["shared_low"].to_dict() == {"b": 24, "c": 27}
    assert table["shared_high"].to_dict() == {"b": 38, "c": 34}
    for codec, row in table.iterrows():
        low, high = row["shared_low"], row["shared_high"]
        part = frame[frame["image"] == "00"].sort_values("psnr")
        ref, test = (part[part["codec"] == name] for name in ("a", codec))
        grid = np.linspace(low, high, 4001)
        ref, test = (pchip_interpolate(curve["psnr"], np.log(curve["bpp"]), grid) for curve in (ref, test))
        expected = 100 * np.expm1(simpson(test - ref, x=grid) / (high - low))
        assert row["bd_rate"] == pytest.approx(expected, rel=1e-4)


def test_slices_hold_the_images_that_reach_all_of_them():
    frame = frame_of({"a": 1.0, "b": 0.5}, spread=0)
    busy = frame["image"] >= "04"
    frame.loc[busy, "psnr"] = 24 + (frame.loc[busy, "psnr"] - 24) / 2  # 24–31 dB
    table = bd_rate.by_slice(frame, "a", resamples=20)
    assert table["psnr_low"].tolist() == [24, 26, 28, 30, 32, 34, 36]
    assert table["compared"].tolist() == [12, 12, 12, 4, 4, 4, 4]
    assert table["bd_rate"].tolist() == pytest.approx([-50] * 7)
    assert list(bd_rate.by_slice(frame, "a", width=4, resamples=20)["compared"]) == [12, 4, 4]


def test_ms_ssim_takes_the_place_of_psnr():
    frame = frame_of({"a": 1.0, "b": 0.5}, spread=0)
    frame["ms_ssim"] = 1 - 10 ** (-(frame["psnr"] - 14) / 10)
    table = bd_rates(bd_rate.in_ms_ssim(frame), "a", resamples=20)
    assert (table["bd_rate"][0], table["shared_low"][0], table["shared_high"][0]) == pytest.approx((-50, 10, 24))
    with pytest.raises(InputError, match="large enough for MS-SSIM"):
        bd_rate.in_ms_ssim(frame.assign(ms_ssim=math.nan))


def test_wrapping_is_taken_from_every_file():
    frame = frame_of({"a": 1.0, "b": 1.0}, spread=0).assign(height=100, width=80)
    more = frame.assign(bpp=frame["bpp"] + 8 * frame["codec"].map({"a": 0, "b": 50}) / 8000)
    assert bd_rates(more, "a", resamples=20)["bd_rate"][0] > 5
    bare = bd_rate.without_wrapping(more, {"a": 0, "b": 50})
    assert bd_rates(bare, "a", resamples=20)["bd_rate"][0] == pytest.approx(0, abs=1e-9)


def test_the_loss_sees_what_a_mean_psnr_hides():
    """Two codecs of equal rate and equal mean PSNR, one of which codes a tenth of the images badly."""
    rows = []
    for codec, psnrs in (("even", [34.0] * 10), ("uneven", [25.0] + [35.0] * 9)):
        rows += [(f"{i}", codec, "s", 1.0, psnr) for i, psnr in enumerate(psnrs)]
    frame = pd.DataFrame(rows, columns=["image", "codec", "setting", "bpp", "psnr"])
    even, uneven = bd_rate.losses(frame, [0.01], resamples=50).itertuples()
    assert even.psnr == uneven.psnr == 34
    assert even.loss == pytest.approx(1 + 0.01 * 255**2 * 10**-3.4)
    assert uneven.loss == pytest.approx(1 + 0.01 * 255**2 * (0.1 * 10**-2.5 + 0.9 * 10**-3.5))
    assert uneven.worst_loss == pytest.approx(1 + 0.01 * 255**2 * 10**-2.5)
    assert (uneven.worst_psnr, even.worst_psnr) == (25, 34)
    assert uneven.psnr_of_mse == pytest.approx(-10 * math.log10(0.1 * 10**-2.5 + 0.9 * 10**-3.5))
    assert even.psnr_of_mse == pytest.approx(34)


def test_a_codec_whose_settings_are_lambdas_has_no_loss_at_others():
    rows = [("a", "learned", "lam=0.01 refine=10", 0.5, 33.0), ("a", "learned", "lam=0.1", 1.5, 38.0),
            ("a", "jpeg", "quality=50", 1.0, 32.0)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["image", "codec", "setting", "bpp", "psnr"])
    found = bd_rate.losses(frame, [0.001, 0.01], resamples=10)
    assert list(zip(found["codec"], found["lam"], strict=True)) == [("learned", 0.01), ("jpeg", 0.001), ("jpeg", 0.01)]


# --- By other means ---------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(0, 2**31))
def test_bd_rate_is_that_of_the_bjontegaard_package(seed):
    generator = np.random.default_rng(seed)
    curves = []
    for _ in range(2):
        count = generator.integers(4, 9)
        curves.append((np.sort(generator.uniform(0.05, 4, count)), np.sort(generator.uniform(22, 42, count))))
    (a, p), (b, q) = curves
    if max(p[0], q[0]) + 0.1 > min(p[-1], q[-1]):
        return
    options = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}
    assert bd_rate.bd_rate(a, p, b, q) == pytest.approx(library(a, p, b, q, **options), rel=1e-6)


def independent(path, codec, reference):
    """Mean BD-rate over images in % from the CSV alone: dense pchip, integrated by Simpson's rule."""
    curves = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["codec"] in (codec, reference):
                key = row["image"], row["codec"]
                curves.setdefault(key, []).append((float(row["psnr"]), np.log(float(row["bpp"]))))
    logs = []
    for image in {image for image, _ in curves}:
        points = []
        for name in (codec, reference):
            cheapest = {}
            for psnr, rate in sorted(curves[image, name], reverse=True):
                cheapest[psnr] = rate  # the last of equal PSNR is the cheapest
            points.append(tuple(np.array(sorted(cheapest.items())).T))
        low, high = max(p[0] for p, _ in points), min(p[-1] for p, _ in points)
        if high - low < 1:
            continue
        grid = np.linspace(low, high, 401)
        test, ref = (pchip_interpolate(psnr, rate, grid) for psnr, rate in points)
        logs.append(simpson(test - ref, x=grid) / (high - low))
    return 100 * np.expm1(np.mean(logs)), len(logs)


@pytest.mark.skipif(not paths.REFERENCE.exists(), reason="installed without a checkout")
@pytest.mark.parametrize("path", sorted(paths.REFERENCE.glob("rate_distortion*.csv")), ids=lambda path: path.stem)
def test_the_tracked_bd_rates_are_those_of_a_second_implementation(path):
    kept = pd.read_csv(path.with_name(path.name.replace("rate_distortion", "bd_rate")))
    if "category" in kept:
        pytest.skip("a table by place")
    checked = 0
    for row in kept[kept["reference"].isin(["jpeg2000", "avif"])].itertuples():
        value, compared = independent(path, row.codec, row.reference)
        if compared == row.compared:
            assert row.bd_rate == pytest.approx(value, abs=0.1), (row.codec, row.reference)
            checked += 1
    assert checked


def test_a_codec_that_shares_no_psnr_gets_a_note_instead_of_a_number():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "webp": 1.5})
    frame.loc[frame["codec"] == "jpeg", "psnr"] += 50
    table = bd_rates(frame, resamples=50).set_index("codec")
    assert math.isnan(table.loc["jpeg", "bd_rate"])
    assert "share no PSNR" in table.loc["jpeg", "note"]
    assert table.loc["webp", "bd_rate"] == pytest.approx(50, abs=10)


def test_objects_are_drawn_together():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0})
    one = bd_rates(frame, resamples=50, objects={f"{k:02}": "same" for k in range(12)})
    assert math.isnan(one["low"][0])
    assert one["bd_rate"][0] == pytest.approx(100, abs=15)
    with pytest.raises(InputError, match="No object is given for 01"):
        bd_rates(frame, objects={"00": "a"})


def test_rate_saved_at_equal_psnr_as_in_table_1():
    frame = frame_of({"mbt2018": 0.67 / 0.84, "mbt2018-natural": 1.0, "jpeg": 2.0})
    found = rate_saved_at_psnr(frame, "mbt2018", "mbt2018-natural", resamples=300)
    assert found.psnr == 31
    assert found.low < 100 * (1 - 0.67 / 0.84) < found.high
    assert found.saved == pytest.approx(100 * (1 - found.bpp_a / found.bpp_b))
    far = frame.assign(psnr=frame["psnr"] + 30 * (frame["codec"] == "mbt2018"))
    with pytest.raises(InputError, match="share no PSNR"):
        rate_saved_at_psnr(far, "mbt2018", "mbt2018-natural")
    with pytest.raises(InputError, match="no codec 'bpg'"):
        rate_saved_at_psnr(frame, "bpg", "mbt2018")


def test_by_category_compares_within_each():
    table = by_category(frame_of({"jpeg2000": 1.0, "jpeg": 2.0}), resamples=50)
    assert list(table.columns)[:2] == ["category", "codec"]
    assert dict(zip(table["category"], table["images"], strict=True)) == {"dam": 4, "port": 8}


def test_a_codec_that_lacks_images_is_named_with_them():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0})
    gap = frame[~((frame["codec"] == "jpeg") & (frame["setting"] == "s=1") & (frame["image"] == "03"))]
    for compare in (image_set, mean_curves, bd_rates):
        with pytest.raises(InputError, match="jpeg s=1 lacks 03"):
            compare(gap)
    assert image_set(frame) == [f"{k:02}" for k in range(12)]


def test_mean_curves_average_over_images_by_setting():
    frame = frame_of({"jpeg": 2.0, "jpeg2000": 1.0})
    curves = mean_curves(frame)
    assert list(curves.columns) == ["codec", "setting", "bpp", "psnr", "ms_ssim", "images"]
    assert list(curves["setting"]) == [f"s={s}" for s in range(5)] * 2
    assert set(curves["images"]) == {12}
    expected = frame[(frame["codec"] == "jpeg") & (frame["setting"] == "s=2")]["bpp"].mean()
    assert curves.loc[2, "bpp"] == pytest.approx(expected)
    frame.loc[frame.index[0], "ms_ssim"] = math.nan
    assert mean_curves(frame)["ms_ssim"].isna().sum() == 1


def test_rows_that_stand_twice_and_empty_tables_are_refused():
    frame = frame_of({"jpeg2000": 1.0})
    with pytest.raises(InputError, match="stands twice"):
        image_set(pd.concat([frame, frame.iloc[:1]]))
    with pytest.raises(InputError, match="no rows"):
        image_set(frame.iloc[:0])


def test_a_lossless_point_has_no_mean_psnr():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0})
    frame.loc[(frame["codec"] == "jpeg") & (frame["image"] == "05"), "psnr"] = math.inf
    with pytest.raises(InputError, match="codes 05 without loss"):
        mean_curves(frame)
