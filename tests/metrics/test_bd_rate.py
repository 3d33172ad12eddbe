"""satstudy.metrics.bd_rate: BD-rates and rates saved, over the same images."""

import math

import numpy as np
import pandas as pd
import pytest
from measured_frames import frame_of

from satstudy.core.errors import InputError
from satstudy.metrics import bd_rate
from satstudy.metrics.bd_rate import bd_rates, by_category, image_set, mean_curves, rate_saved_at_psnr
from satstudy.study import rate_distortion


def test_bd_rates_find_the_factor_within_their_interval():
    table = bd_rates(frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "learned": 0.7}), n=300)
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
            steered = {"rate": rate, "quality": rate * content}
            for codec, bpp in steered.items():
                psnr = 30 + 6 * math.log2(bpp / content)
                rows.append((f"{k}", codec, f"s={s}", bpp, psnr, 0.9, 0.1, 0.1, 1, 8, 8, ""))
    table = bd_rates(pd.DataFrame(rows, columns=rate_distortion.COLUMNS), "rate", n=50)
    assert table["of_means"][0] > 50
    assert (table["bd_rate"][0], table["low"][0], table["high"][0]) == pytest.approx((0, 0, 0))


def test_a_codec_steered_by_lam_is_still_itself_but_not_in_its_mean_curve():
    """The control of the reference page, where the truth is known: 0."""
    rows = []
    for k, content in enumerate(np.geomspace(0.2, 5, 9)):
        for s, rate in enumerate(np.geomspace(0.01, 10, 60)):
            mse = 400 * content * 2.0 ** (-3 * (rate / content) ** 0.5)
            psnr = 10 * math.log10(255**2 / mse)
            rows.append((f"{k}", "jpeg2000", f"s={s}", rate, psnr, 0.9, 0.1, 0.1, 1, 8, 8, ""))
    frame = pd.DataFrame(rows, columns=rate_distortion.COLUMNS)
    lams = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064]
    control = bd_rate.steered(frame, "jpeg2000", lams)
    assert control.groupby("setting")["image"].nunique().eq(9).all()
    one = frame[frame["image"] == "4"]
    cost = 0.004 * 255**2 * 10 ** (-one["psnr"] / 10) + one["bpp"]
    chosen = control[(control["image"] == "4") & (control["setting"] == "lam=0.004")]
    assert chosen["bpp"].item() == one.loc[cost.idxmin(), "bpp"]
    (row,) = bd_rate.bd_rates(pd.concat([frame, control], ignore_index=True), n=50).itertuples()
    assert row.codec == "jpeg2000-steered"
    assert row.bd_rate == pytest.approx(0, abs=0.5)
    assert row.of_means > 3


def test_images_with_too_little_in_common_are_left_out_for_all_codecs():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "learned": 0.7}, spread=0)
    odd = (frame["codec"] == "jpeg") & (frame["image"] == "03")
    frame.loc[odd, "psnr"] += 13.5
    table = bd_rates(frame, n=50).set_index("codec")
    assert table["compared"].tolist() == [11, 11]
    assert table["bd_rate"].tolist() == pytest.approx([100, -30])
    # A codec that most images are lost by is left out itself.
    frame.loc[(frame["codec"] == "jpeg") & (frame["image"] > "02"), "psnr"] += 13.5
    table = bd_rates(frame, n=50).set_index("codec")
    assert math.isnan(table.loc["jpeg", "bd_rate"])
    assert table.loc["jpeg", "note"] == "3 of 12 images share 1 dB or more: add settings."
    assert table["compared"].to_dict() == {"jpeg": 0, "learned": 12}


def test_all_that_a_study_compares_with_stands_in_one_table():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "learned": 0.7, "learned-natural": 0.8})
    table = bd_rate.against(frame, n=50)
    pairs = [(c, "jpeg2000") for c in ("jpeg", "learned", "learned-natural")]
    pairs += [(c, "jpeg") for c in ("jpeg2000", "learned", "learned-natural")] + [("learned", "learned-natural")]
    assert list(zip(table["codec"], table["reference"], strict=True)) == pairs
    assert bd_rate.of_reference(table, "learned-natural")["bd_rate"][0] == pytest.approx(-12.5, abs=3)
    with pytest.raises(InputError, match="compares with jpeg, jpeg2000, learned-natural, not with webp"):
        bd_rate.of_reference(table, "webp")
    assert set(bd_rate.against(frame[frame["codec"] != "jpeg"], n=50)["reference"]) == {
        "jpeg2000",
        "learned-natural",
    }


def test_a_codec_that_shares_no_psnr_gets_a_note_instead_of_a_number():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0, "webp": 1.5})
    frame.loc[frame["codec"] == "jpeg", "psnr"] += 50
    table = bd_rates(frame, n=50).set_index("codec")
    assert math.isnan(table.loc["jpeg", "bd_rate"])
    assert "share no PSNR" in table.loc["jpeg", "note"]
    assert table.loc["webp", "bd_rate"] == pytest.approx(50, abs=10)


def test_objects_are_drawn_together():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0})
    one = bd_rates(frame, n=50, objects={f"{k:02}": "same" for k in range(12)})
    assert math.isnan(one["low"][0])
    assert one["bd_rate"][0] == pytest.approx(100, abs=15)
    with pytest.raises(InputError, match="No object is given for 01"):
        bd_rates(frame, objects={"00": "a"})


def test_rate_saved_at_equal_psnr_as_in_table_1():
    frame = frame_of({"learned": 0.67 / 0.84, "learned-natural": 1.0, "jpeg": 2.0})
    found = rate_saved_at_psnr(frame, "learned", "learned-natural", 32.8, n=300)
    assert found.psnr == 32.8
    assert found.low < 100 * (1 - 0.67 / 0.84) < found.high
    assert found.saved == pytest.approx(100 * (1 - found.bpp_a / found.bpp_b))
    assert rate_saved_at_psnr(frame, "learned", "learned-natural", n=20).psnr == 31
    with pytest.raises(InputError, match="outside"):
        rate_saved_at_psnr(frame, "learned", "learned-natural", 50)
    with pytest.raises(InputError, match="no codec 'bpg'"):
        rate_saved_at_psnr(frame, "bpg", "learned")


def test_by_category_compares_within_each():
    table = by_category(frame_of({"jpeg2000": 1.0, "jpeg": 2.0}), n=50)
    assert list(table.columns)[:2] == ["category", "codec"]
    assert dict(zip(table["category"], table["images"], strict=True)) == {"dam": 4, "port": 8}


def test_a_codec_that_lacks_images_is_named_with_them():
    frame = frame_of({"jpeg2000": 1.0, "jpeg": 2.0})
    gap = frame[~((frame["codec"] == "jpeg") & (frame["setting"] == "s=1") & (frame["image"] == "03"))]
    for compare in (image_set, mean_curves, bd_rates):
        with pytest.raises(InputError, match="jpeg s=1 lacks 03"):
            compare(gap)
    assert image_set(frame) == [f"{k:02}" for k in range(12)]
