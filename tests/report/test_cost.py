"""What an archive costs, against sums done by hand."""

import numpy as np
import pandas as pd
import pytest

from satstudy.core.errors import InputError
from satstudy.report import cost


def frame(**changes):
    """Two codecs on two images of 1000×1000 pixels (3 MB); `avif` takes half of the bits and ten times the time."""
    rows = [
        {"image": image, "codec": codec, "psnr": psnr, "bpp": bits * 2 ** (psnr / 10), "encode_s": seconds,
         "decode_s": 1.0, "height": 1000, "width": 1000}
        for image in ("a", "b")
        for codec, low, bits, seconds in (("jpeg2000", 20, 0.25, 0.3), ("avif", 30, 0.125, 3.0))
        for psnr in (low, low + 10, low + 20)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def test_codecs_are_compared_at_the_middle_of_the_common_range():
    points = cost.operating_points(frame()).set_index("codec")
    # The common range is 30 to 40 dB: at 35 dB the rate is 0.25 · 2^3.5, on the line between two settings.
    assert points.loc["jpeg2000", "bpp"] == pytest.approx(0.25 * 2**3.5)
    assert points.loc["avif", "bpp"] == pytest.approx(0.125 * 2**3.5)
    assert points["encode"].to_dict() == pytest.approx({"jpeg2000": 0.1, "avif": 1.0})
    assert points["decode"].to_dict() == pytest.approx({"jpeg2000": 1 / 3, "avif": 1 / 3})


def test_machines_storage_and_money_are_what_a_sum_by_hand_gives():
    points = pd.DataFrame({"codec": ["jpeg2000", "avif"], "bpp": [2.4, 1.2], "encode": [0.0864, 0.864]})
    table = cost.archive(points, terabytes_a_day=1, machine_hour=0.5, terabyte_month=10).set_index("codec")
    # 10^6 MB a day · 0.0864 s = 86,400 s: one machine. 365 TB · 2.4 / 24 bits are kept.
    assert table["machines"].to_dict() == pytest.approx({"jpeg2000": 1, "avif": 10})
    assert table["terabytes"].to_dict() == pytest.approx({"jpeg2000": 36.5, "avif": 18.25})
    assert table.loc["jpeg2000", "money"] == pytest.approx(8760 * 0.5 + 36.5 * 120)
    assert table.loc["avif", "relative"] == pytest.approx((43800 + 2190) / (4380 + 4380))
    assert table.index[0] == "jpeg2000", "the cheapest first"
    # 39,420 more for machines against 182.5 less for storage each month.
    assert cost.break_even(points, 0.5, 10) == "- AVIF: after 216.0 months."
    worse = points.assign(encode=[0.1, 1.0], bpp=[1.0, 2.0])
    assert "never" in cost.break_even(worse, 0.5, 10)
    assert "at once" in cost.break_even(worse.assign(codec=["avif", "jpeg2000"]), 0.5, 10)
    text = cost.shown(table.reset_index())
    assert text["codec"].tolist() == ["JPEG 2000", "AVIF"]
    assert text["against JPEG 2000"].tolist() == ["100%", "525%"]
    assert np.array_equal(text["machines"], [1, 10])


def test_codecs_without_a_common_quality_are_refused():
    apart = frame()
    apart.loc[apart["codec"] == "avif", "psnr"] += 40
    with pytest.raises(InputError, match="wider range"):
        cost.operating_points(apart)
    with pytest.raises(InputError, match="lacks the columns encode_s"):
        cost.operating_points(frame().drop(columns="encode_s"))
