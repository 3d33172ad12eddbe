"""Frames of measurements that were made up, for tests."""

import math

import numpy as np
import pandas as pd

from satstudy.study import rate_distortion

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


BD = pd.DataFrame(
    {
        "codec": ["avif", "learned", "webp"],
        "reference": ["jpeg2000"] * 3,
        "bd_rate": [-20.04, -12.5, float("nan")],
        "low": [-22.0, -13.0, float("nan")],
        "high": [-18.0, -12.0, float("nan")],
        "compared": [1200, 1200, 0],
        "shared_low": [21.5, 22.5, float("nan")],
        "shared_high": [34.0, 33.5, float("nan")],
        "images": [1200] * 3,
        "of_means": [-19.0, 2.5, float("nan")],
        "of_means_low": [float("nan"), 1.0, float("nan")],
        "of_means_high": [float("nan"), 4.0, float("nan")],
        "psnr_low": [22.0, 22.0, float("nan")],
        "psnr_high": [33.0, 33.0, float("nan")],
    }
)


def seams(*overlaps: int) -> pd.DataFrame:
    images = {"a": 1, "b": 20, "c": 5}
    rows = [(i, "blend", "mean", o, k * (100 + o), 30.0) for o in overlaps for i, k in images.items()]
    rows += [(i, "seamless", "none", 0, k * 90, 30.25) for i, k in images.items()]
    frame = pd.DataFrame(rows, columns=["image", "tiling", "weighting", "overlap", "bytes", "psnr"])
    return frame.assign(lam=0.01, psnr_near=29.5, psnr_near_reference=29.75)
