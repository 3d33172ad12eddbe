"""Frames of measurements that were made up, for tests."""

import math

import numpy as np
import pandas as pd

from satstudy import rate_distortion

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
