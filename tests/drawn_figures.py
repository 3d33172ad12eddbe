"""Small frames to draw, and what can be asked of a drawn figure, for tests."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from satstudy.metrics.seams import COLUMNS as SEAM_COLUMNS

CODECS = ("jpeg", "jpeg2000", "webp", "avif", "mbt2018", "mbt2018-natural")


def rd_frame(images=4, codecs=CODECS):
    rng, rows = np.random.default_rng(0), []
    for i in range(images):
        ease = rng.normal(0, 1)
        for k, codec in enumerate(codecs):
            for q in range(4):
                row = {"image": f"i{i}", "codec": codec, "setting": f"q={q}", "category": "ab"[i % 2]}
                noise = rng.normal(0, 0.1)
                rows.append(
                    {**row, "bpp": 0.05 * 2**q, "psnr": 22 + 3 * q + k / 2 + ease + noise, "ms_ssim": 0.8 + q / 20}
                )
    return pd.DataFrame(rows)


def seam_frame(lams=(0.0018, 0.013)):
    tilings = [("independent", "none", 0), ("seamless", "none", 0)]
    tilings += [("blend", w, o) for w in ("mean", "ramp") for o in (8, 16)]
    rows = [
        (f"i{i}", lam, t, w, 256, o, 1000 + o, 0.5 + o / 100, 30.0, 29.0 + o / 50, 30.1, 1.2, 1.0, 30.0)
        for i in range(2)
        for lam in lams
        for t, w, o in tilings
    ]
    return pd.DataFrame(rows, columns=SEAM_COLUMNS)


def image(height=120, width=160, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def legend(figure: Figure):
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def words(figure: Figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def overlapping(figure: Figure, texts):
    """Pairs of texts whose boxes on the page overlap."""
    renderer = figure.canvas.get_renderer()
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text() and t.get_visible()]
    return [(a, b) for i, (a, x) in enumerate(boxes) for b, y in boxes[:i] if x.shrunk(0.9, 0.9).overlaps(y)]


def outside(figure: Figure):
    """Whether anything drawn leaves the page."""
    box, (width, height) = figure.get_tightbbox(figure.canvas.get_renderer()), figure.get_size_inches()
    return min(box.x0, box.y0, width - box.x1, height - box.y1) < -0.01


def agg(figure: Figure):
    mpl.backends.backend_agg.FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    return figure
