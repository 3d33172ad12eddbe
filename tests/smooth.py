"""A soft picture for tests of codecs."""

import numpy as np
from scipy.ndimage import gaussian_filter


def picture(height=64, width=80, seed=0):
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = gaussian_filter(noise, (2, 2, 0)) * 200 + 120
    smooth[:, : width // 2] += 50
    return np.clip(smooth, 0, 255).astype(np.uint8)
