"""Tables say what the frames say, with intervals, and what the paper says beside it."""

import math

import numpy as np
import pandas as pd
import pytest

from satstudy.core.errors import InputError
from satstudy.metrics import bd_rate
from satstudy.metrics.bd_rate import rate_at_psnr
from satstudy.metrics.seams import COLUMNS as SEAM_COLUMNS
from satstudy.report import labels, tables


def rd_frame(images=6, codecs=("jpeg", "mbt2018", "mbt2018-natural")):
    rng, rows = np.random.default_rng(0), []
    better = {"mbt2018": 1.0, "mbt2018-natural": 0.0, "jpeg": -2.0, "jpeg2000": -0.5}
    for i in range(images):
        ease = rng.normal(0, 1)
        for codec in codecs:
            for q in range(4):
                bpp = 0.05 * 2**q * rng.uniform(0.97, 1.03)
                psnr = 24 + 3 * q + better[codec] + ease
                size = {"bytes": int(bpp * 65536 / 8), "height": 256, "width": 256, "category": "abc"[i % 3]}
                rows.append({"image": f"i{i}", "codec": codec, "setting": f"q={q}", "bpp": bpp, "psnr": psnr, **size})
    return pd.DataFrame(rows).assign(ms_ssim=0.9, encode_s=0.065536, decode_s=0.131072)


# --- Tables of results ----------------------------------------------------------------------------------


def test_table_1_compares_at_one_psnr_and_agrees_with_the_metric():
    frame = rd_frame()
    table = tables.table_1(frame)
    assert list(table["trained on"]) == ["natural images", "overhead images"]
    means = frame.groupby(["codec", "setting"])[["bpp", "psnr"]].mean()
    curves = [means.loc[c] for c in ("mbt2018-natural", "mbt2018")]
    low, high = max(c["psnr"].min() for c in curves), min(c["psnr"].max() for c in curves)
    middle = (low + high) / 2
    assert list(table["here: PSNR in dB"]) == [f"{middle:.2f}"] * 2
    rates = [rate_at_psnr(*curve.to_numpy().T, middle) for curve in curves]
    assert list(table["here: bpp"]) == [labels.rate(r) for r in rates]
    saved = table["here: rate saved in %"][1]
    assert float(saved.split()[0]) == round(100 * (1 - rates[1] / rates[0]))
    assert list(table["paper: bpp"]) == ["0.84", "0.67"]
    assert table["paper: rate saved in %"][1] == "20"


def test_table_1_says_what_is_missing():
    with pytest.raises(InputError, match="mbt2018-natural"):
        tables.table_1(rd_frame(codecs=("jpeg", "mbt2018")))
    with pytest.raises(InputError, match="lacks the columns psnr"):
        tables.table_1(rd_frame().drop(columns="psnr"))


def test_the_domain_experiment_is_averaged_over_seeds_and_compared_on_overhead_images():
    rows = [
        {"image": image, "category": "a", "codec": "learned", "setting": f"lam={lam}", "bpp": lam * (1 + seed) + more,
         "psnr": 30 + 200 * lam + seed, "tested_on": tested_on, "trained_on": trained_on, "seed": seed}
        for image in ("x", "y") for lam in (0.01, 0.02) for seed in (0, 1)
        for tested_on in ("overhead", "natural") for trained_on, more in (("overhead", 0), ("natural", 0.1))
    ]  # fmt: skip
    curves = tables.domain_curves(pd.DataFrame(rows))
    assert len(curves) == 2 * 2 * 2
    one = curves[(curves["image"] == "x") & (curves["codec"] == "natural") & (curves["setting"] == "lam=0.01")].iloc[0]
    assert one["bpp"] == pytest.approx(0.015 + 0.1)
    assert one["psnr"] == pytest.approx(32.5)
    saved = tables.table_1(curves, "overhead", "natural")["here: rate saved in %"][1]
    assert float(saved.split()[0]) > 50


def test_trainings_are_named_in_words_beside_what_they_cost():
    gains = pd.DataFrame(
        [("overhead", "natural, overhead", 1.25, -0.5, 3.0), ("natural", "both", -2.0, float("nan"), float("nan"))],
        columns=["tested_on", "test", "value", "low", "high"],
    )
    assert tables.domain_table(gains).to_numpy().tolist() == [
        ["overhead imagery", "photographs, then overhead imagery", "+1.2 [−0.5, 3.0]"],
        ["photographs", "both", "−2.0"],
    ]


def test_each_kind_of_training_images_is_a_column_and_each_set_a_row():
    gains = pd.DataFrame(
        [("naip", "tiles alone", 9.96, 8.0, 12.0), ("naip", "no shrunk tiles", -0.5, -1.0, 0.25),
         ("neon", "tiles alone", 20.0, 10.0, 30.0), ("neon", "no shrunk tiles", 1.0, 0.5, 1.5)],
        columns=["set", "test", "value", "low", "high"],
    )  # fmt: skip
    table = tables.data_kinds_table(gains, {"naip": "NAIP scenes"})
    assert table.columns.tolist() == ["loss in % against all kinds", "tiles alone", "no shrunk tiles"]
    assert table.to_numpy().tolist() == [
        ["NAIP scenes", "+10.0 [8.0, 12.0]", "−0.5 [−1.0, 0.2]"],
        ["neon", "+20.0 [10.0, 30.0]", "+1.0 [0.5, 1.5]"],
    ]


def test_rd_table_has_a_row_for_each_setting_with_intervals():
    frame = rd_frame()
    table = tables.rd_table(frame, resamples=200, times=True)
    assert len(table) == 12
    assert set(table["codec"]) == {"JPEG", "mbt2018", "mbt2018 (natural)"}
    row = table[(table["codec"] == "JPEG") & (table["setting"] == "q=0")].iloc[0]
    part = frame[(frame["codec"] == "jpeg") & (frame["setting"] == "q=0")]
    value, bounds = row["PSNR in dB"].split(" ", 1)
    low, high = map(float, bounds.strip("[]").split(", "))
    assert float(value) == round(part["psnr"].mean(), 1)
    assert low < float(value) < high
    assert row["MS-SSIM in dB"] == "10.0"
    assert row["encode in s/Mpx"] == "1"
    assert row["decode in s/Mpx"] == "2"


def test_rd_table_of_small_images_has_no_ms_ssim():
    assert set(tables.rd_table(rd_frame().assign(ms_ssim=math.nan), resamples=50)["MS-SSIM in dB"]) == {"–"}


def test_bd_table_writes_signs_and_missing_numbers():
    frame = pd.DataFrame(
        [
            ("mbt2018", "jpeg2000", -12.34, -20, -1, 4, -3.25, math.nan, math.nan, 22, 30, 5, 23, 29),
            ("avif", "jpeg2000", *[math.nan] * 3, 0, *[math.nan] * 5, 5, math.nan, math.nan),
            ("avif", "jpeg", *[-30.0] * 3, 5, *[-31.0] * 3, 20, 30, 5, 21, 29),
        ],
        columns=["codec", "reference", "bd_rate", "low", "high", "compared", "of_means", "of_means_low",
                 "of_means_high", "psnr_low", "psnr_high", "images", "shared_low", "shared_high"],
    )  # fmt: skip
    table = tables.bd_table(frame)
    assert list(table.iloc[:, 1]) == ["−12.3 [−20.0, −1.0]", "–"]
    assert list(table["images"]) == ["4 of 5", "0 of 5"]
    assert list(table["PSNR in dB"]) == ["23.0–29.0", "–"]
    assert list(table["of the mean curves"]) == ["−3.2", "–"]
    assert list(table["PSNR of these, in dB"]) == ["22.0–30.0", "–"]
    assert list(tables.bd_table(frame, "jpeg").iloc[:, 1]) == ["−30.0 [−30.0, −30.0]"]
    assert "category" in tables.bd_table(frame.assign(category="crop_field"))
    with pytest.raises(InputError, match="bd_rates"):
        tables.bd_table(frame.head(0))


def test_pairs_stand_in_a_matrix_with_interval_and_range():
    frame = rd_frame()
    pairs = bd_rate.all_pairs(frame, resamples=50)
    table = tables.pair_table(pairs)
    assert list(table.index) == list(table.columns) == ["JPEG", "mbt2018", "mbt2018 (natural)"]
    assert [table.iloc[i, i] for i in range(3)] == ["–"] * 3
    row = pairs[(pairs["codec"] == "mbt2018") & (pairs["reference"] == "jpeg")].iloc[0]
    text = labels.interval(row["bd_rate"], row["low"], row["high"])
    assert table.loc["mbt2018", "JPEG"] == f"{text} ({row['shared_low']:.1f}–{row['shared_high']:.1f} dB)"


def test_slices_losses_wrapping_and_speed_say_what_the_frames_say():
    frame = rd_frame(codecs=("jpeg", "jpeg2000", "mbt2018"))
    slices = bd_rate.by_slice(frame, "jpeg2000", resamples=50)
    table = tables.slice_table(slices)
    assert list(table.index) == ["JPEG", "mbt2018"]
    assert table.index.name == "against JPEG 2000"
    first = slices[slices["codec"] == "mbt2018"].iloc[0]
    cell = table.loc["mbt2018", f"{first['psnr_low']:g}–{first['psnr_high']:g} dB"]
    assert cell == f"{labels.interval(*first[['bd_rate', 'low', 'high']])} ({first['compared']})"
    losses = tables.loss_table(bd_rate.losses(frame, [0.01, 0.001], resamples=50))
    assert list(losses["λ"]) == ["0.001"] * 3 + ["0.01"] * 3
    assert list(losses["codec"][:3]) == ["JPEG", "JPEG 2000", "mbt2018"]
    wrapping = pd.DataFrame({"codec": ["jpeg", "mbt2018"], "bytes": [1600, 25], "settings": "s", "version": "1"})
    bare = bd_rate.without_wrapping(frame, {"jpeg": 10, "jpeg2000": 0, "mbt2018": 0})
    both = [bd_rate.all_pairs(part, resamples=50) for part in (frame, bare)]
    table = tables.wrapping_table(wrapping, *both, "jpeg2000")
    assert list(table["bytes of an empty image"]) == ["1,600", "25"]
    assert table.iloc[0, 2] != table["without wrapping"][0]
    assert table.iloc[1, 2] == table["without wrapping"][1]
    slow = frame["codec"] == "mbt2018"
    frame.loc[slow, "encode_s"] *= 4
    speeds = tables.speed_table(bd_rate.speeds(frame, resamples=50))
    assert list(speeds["codec"])[-1] == "mbt2018"
    assert list(speeds["encode, times JPEG 2000"]) == ["1", "1", "0.25"]
    assert speeds.iloc[-1, -1].startswith("−")


def test_seams_table_gives_bits_against_independent_patches():
    tilings = [("seamless", "none", 0, 950), ("blend", "ramp", 8, 1060), ("independent", "none", 0, 1000)]
    rows = [
        (f"i{i}", 0.013, tiling, weighting, 256, overlap, size * (i + 1) ** 5, 0.5, 30.0, 29.5, 30.1, 1.2, 1.0, 29.7)
        for i in range(3)
        for tiling, weighting, overlap, size in tilings
    ]
    frame = pd.DataFrame(rows, columns=SEAM_COLUMNS)
    table = tables.seams_table(frame)
    assert list(table["tiling"]) == ["independent", "overlap 8 px, ramp", "seamless"]
    assert list(table["bits against independent in %"]) == ["0.0 [0.0, 0.0]", "6.0 [6.0, 6.0]", "−5.0 [−5.0, −5.0]"]
    assert set(table["seam ratio"]) == set(table["seam measure"]) == {"1.20"}
    assert set(table["lost near seams against seamless"]) == {"0.20"}
    assert set(table["away from them"]) == {"30.10"}
    # `none` read from a CSV as missing, and no independent patches to compare with
    alone = tables.seams_table(frame[frame["tiling"] == "seamless"].assign(weighting=None))
    assert list(alone["bits against independent in %"]) == ["–"]
    with pytest.raises(InputError, match="lacks images"):
        tables.seams_table(frame.iloc[1:])
    with pytest.raises(InputError, match="tiling 'x'"):
        tables.seams_table(frame.assign(tiling="x"))


def test_splits_table_counts_images_objects_and_categories():
    rows = [("a/1", "a", "a1", "train-compress"), ("b/1", "b", "b1", "val-compress"), ("b/2", "b", "b1", "train-class")]
    table = tables.splits_table(pd.DataFrame(rows, columns=["path", "category", "object", "split"]))
    val = table[table["split"] == "val-compress"].iloc[0]
    assert (val["images"], val["objects"], val["categories"], val["images in the paper"]) == ("2", "1", "1", "1,929")
    assert list(table["images"]) == ["1", "2", "1", "0"]
    with pytest.raises(InputError, match="lacks the columns object"):
        tables.splits_table(pd.DataFrame(columns=["path", "category", "split"]))
