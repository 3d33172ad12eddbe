"""What a year of an archive takes: machines, storage and money by codec, at the same quality."""

from __future__ import annotations

import numpy as np
import pandas as pd

from satstudy.core.frames import require
from satstudy.metrics.bd_rate import REFERENCE
from satstudy.report.labels import codec_name

HOURS_A_YEAR = 24 * 365


def operating_points(frame: pd.DataFrame) -> pd.DataFrame:
    """Rate and speed of every codec at one PSNR for each image: the middle of the range that all codecs reach on it.

    Between two settings the PSNR, the logarithm of the rate and that of the time are taken as linear.

    Parameters
    ----------
    frame : columns image, codec, bpp, psnr (dB), encode_s, decode_s, height, width

    Returns
    -------
    DataFrame
        codec, bpp, and encode and decode in seconds a megabyte of pixels (three bytes each), means over the images

    Raises
    ------
    InputError
        A column is missing, or no image on which the ranges of all codecs meet.
    """
    columns = ("image", "codec", "bpp", "psnr", "encode_s", "decode_s", "height", "width")
    require(frame, columns, "The table of codings", "measure it with `satstudy rd`")
    rows = []
    for _, image in frame.groupby("image"):
        ranges = image.groupby("codec")["psnr"].agg(["min", "max"])
        low, high = ranges["min"].max(), ranges["max"].min()
        if low >= high or len(ranges) < frame["codec"].nunique():
            continue
        for codec, curve in image.sort_values("psnr").groupby("codec"):
            megabytes = 3e-6 * curve["height"] * curve["width"]
            values = {
                "bpp": curve["bpp"],
                "encode": curve["encode_s"] / megabytes,
                "decode": curve["decode_s"] / megabytes,
            }
            at = {
                name: float(np.exp(np.interp((low + high) / 2, curve["psnr"], np.log(value))))
                for name, value in values.items()
            }
            rows.append({"codec": codec, **at})
    points = pd.DataFrame(rows, columns=["codec", "bpp", "encode", "decode"])
    require(points, ("codec",), "The comparison at one quality", "give each codec a wider range of settings")
    return points.groupby("codec", as_index=False).mean()


def archive(points: pd.DataFrame, terabytes_a_day: float, machine_hour: float, terabyte_month: float) -> pd.DataFrame:
    """What it takes to code all that a constellation sends, and to keep a year of it for a year.

    Parameters
    ----------
    points : of `operating_points`
    terabytes_a_day : of pixels, three bytes each
    machine_hour, terabyte_month : prices of a machine as the speeds were measured on, and of storage

    Returns
    -------
    DataFrame
        A row a codec, the cheapest first: machines that code without pause; terabytes that are kept; money a year for
        machines, for storage and for both, and both relative to JPEG 2000
    """
    seconds = terabytes_a_day * 1e6 * points["encode"]
    table = pd.DataFrame({"codec": points["codec"], "machines": seconds / 86400})
    table["terabytes"] = terabytes_a_day * 365 * points["bpp"] / 24
    table["coding"] = table["machines"] * HOURS_A_YEAR * machine_hour
    table["storage"] = table["terabytes"] * 12 * terabyte_month
    table["money"] = table["coding"] + table["storage"]
    base = table.loc[table["codec"] == REFERENCE, "money"]
    table["relative"] = table["money"] / base.iloc[0] if len(base) else np.nan
    return table.sort_values("money", ignore_index=True)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `archive` with labels and rounded figures, for a page."""
    return pd.DataFrame(
        {
            "codec": [codec_name(name) for name in table["codec"]],
            "machines": np.ceil(table["machines"]).astype(int),
            "petabytes kept": (table["terabytes"] / 1000).round(2),
            "coding, thousands": (table["coding"] / 1000).round().astype(int),
            "storage, thousands": (table["storage"] / 1000).round().astype(int),
            "in all, thousands": (table["money"] / 1000).round().astype(int),
            "against JPEG 2000": table["relative"].map("{:.0%}".format),
        }
    )


def break_even(points: pd.DataFrame, machine_hour: float, terabyte_month: float) -> str:
    """A list, as Markdown: after how many months of keeping each codec costs less than JPEG 2000."""
    table = archive(points, 1.0, machine_hour, terabyte_month).set_index("codec")
    base, lines = table.loc[REFERENCE], []
    for codec, row in table.drop(index=REFERENCE).iterrows():
        saved = (base["storage"] - row["storage"]) / 12  # a month
        dearer = row["coding"] - base["coding"]
        name = codec_name(str(codec))
        if saved <= 0 and dearer >= 0:
            lines.append(f"- {name}: never; it takes more bits and more time.")
        elif saved > 0 and dearer <= 0:
            lines.append(f"- {name}: at once.")
        elif saved > 0:
            lines.append(f"- {name}: after {dearer / saved:.1f} months.")
        else:
            lines.append(f"- {name}: until {dearer / saved:.1f} months.")
    return "\n".join(lines)
