"""satstudy.metrics.bd_rate: BD-rates and rates saved, over the same images."""

import math

import numpy as np
import pandas as pd
import pytest
from measured_frames import PSNRS, RATES, frame_of

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
    table = bd_rates(frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "learned": 0.7}), resamples=300)
    assert list(table["codec"]) == ["jpeg", "learned"]
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
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "learned": 0.7}, spread=0)
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
    assert table["compared"].to_dict() == {"jpeg": 0, "learned": 12}


def test_all_that_a_study_compares_with_stands_in_one_table():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "learned": 0.7, "learned-natural": 0.8})
    table = bd_rate.standard_comparisons(frame, resamples=50)
    pairs = [(c, "jpeg2000") for c in ("jpeg", "learned", "learned-natural")]
    pairs += [(c, "jpeg") for c in ("jpeg2000", "learned", "learned-natural")] + [("learned", "learned-natural")]
    assert list(zip(table["codec"], table["reference"], strict=True)) == pairs
    assert bd_rate.rows_against(table, "learned-natural")["bd_rate"][0] == pytest.approx(-12.5, abs=3)
    with pytest.raises(InputError, match="compares with jpeg, jpeg2000, learned-natural, not with webp"):
        bd_rate.rows_against(table, "webp")
    assert set(bd_rate.standard_comparisons(frame[frame["codec"] != "jpeg"], resamples=50)["reference"]) == {
        "jpeg2000",
        "learned-natural",
    }


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
    frame = frame_of({"learned": 0.67 / 0.84, "learned-natural": 1.0, "jpeg": 2.0})
    found = rate_saved_at_psnr(frame, "learned", "learned-natural", 32.8, resamples=300)
    assert found.psnr == 32.8
    assert found.low < 100 * (1 - 0.67 / 0.84) < found.high
    assert found.saved == pytest.approx(100 * (1 - found.bpp_a / found.bpp_b))
    assert rate_saved_at_psnr(frame, "learned", "learned-natural", resamples=20).psnr == 31
    with pytest.raises(InputError, match="outside"):
        rate_saved_at_psnr(frame, "learned", "learned-natural", 50)
    with pytest.raises(InputError, match="no codec 'bpg'"):
        rate_saved_at_psnr(frame, "bpg", "learned")


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
