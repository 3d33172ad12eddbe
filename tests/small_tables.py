"""A few coded sets, as `coded_images.conditions_frame` describes them."""

import math

import pandas as pd

CONDITIONS = pd.DataFrame(
    [
        ("low", "mbt2018", "lam=0.0018", 0.023, 25.0),
        ("high", "mbt2018", "lam=0.013", 0.7, 32.0),
        ("jpeg", "jpeg", "quality=75", 0.8, 33.0),
        ("raw", "original", "", 24.0, math.inf),
        ("webp", "webp", "quality=50", 0.5, 31.0),
    ],
    columns=["condition", "codec", "setting", "bpp", "psnr"],
)
