"""Images and layouts with seams, for tests."""

import numpy as np
from hypothesis import strategies as st

from satstudy.core.geometry import grid


def noise(height, width, seed=0, low=100, high=156):
    return np.random.default_rng(seed).integers(low, high, (height, width, 3), dtype=np.uint8)


layouts = st.builds(
    lambda h, w, p, o: grid(h, w, p, min(o, p // 3)),
    st.integers(20, 90),
    st.integers(20, 90),
    st.integers(8, 19),
    st.sampled_from([0, 2, 5]),
)
