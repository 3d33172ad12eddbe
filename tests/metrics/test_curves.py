"""Mean curves are of the same images for every codec, or of none."""

import math

import pandas as pd
import pytest
from measured_frames import frame_of

from satstudy.core.errors import InputError
from satstudy.metrics.bd_rate import image_set, interpolated_curves, mean_curves


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


def test_interpolated_curves_are_of_equal_rates():
    curves = interpolated_curves(frame_of({"a": 1.0, "b": 0.5}), count=9)
    assert curves.groupby("codec").size().to_dict() == {"a": 9, "b": 9}
    assert curves["psnr"].between(24, 38).all()
    frame = frame_of({"a": 1.0, "b": 0.5})
    frame.loc[(frame["codec"] == "b") & (frame["image"] == "03"), "bpp"] *= 1000
    with pytest.raises(InputError, match="b: No rate is reached by all 12 images"):
        interpolated_curves(frame)
    assert set(interpolated_curves(frame, ["a"])["codec"]) == {"a"}


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
