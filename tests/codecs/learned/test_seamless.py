"""The seamless tiling: piece by piece gives what the whole image at once gives."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tqdm.auto import tqdm

from satstudy.codecs.coding.engine import padded, unit_shape
from satstudy.codecs.learned import codec
from satstudy.codecs.learned.codec import Window
from satstudy.codecs.mbt2018.engine import Mbt2018Engine
from satstudy.codecs.mbt2018.prior import hyper_tables
from satstudy.core.geometry import grid
from satstudy.data.sources import ArraySource

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = [(1, 1), (31, 200), (192, 192), (150, 333)]


@pytest.fixture
def engine(tiny_model, monkeypatch):
    monkeypatch.setattr(Mbt2018Engine, "piece", 96)
    return Mbt2018Engine(tiny_model, hyper_tables(tiny_model), 0.01)


class Plane:
    """Latents that are there already, in the place of a file's."""

    def __init__(self, y, height, width):
        self.y, self.row = y, 0
        self.file = SimpleNamespace(header=SimpleNamespace(height=height, width=width, lam_index=0))

    def forget(self, row):
        self.row = max(self.row, row)

    def region(self, top, bottom, left, right, halo):
        halo //= 16
        a, c = max(0, top // 16 - halo), max(0, left // 16 - halo)
        assert 16 * a >= self.row, "what was forgotten is not asked for"
        return (self.y[:, a : -(-bottom // 16) + halo, c : -(-right // 16) + halo],), 16 * a, 16 * c


@pytest.mark.parametrize("size", SIZES)
def test_tiles_have_the_latents_of_the_whole_image(engine, picture, size):
    image = picture(*size)
    (whole,) = engine.analysis(padded(torch.from_numpy(image))[None])[0]
    assert whole.shape[1:] == unit_shape(*size)
    for tile in grid(*size, 128, 0):
        (y,) = codec._analyse_tile(engine, ArraySource(image), tile)
        rows, columns = slice(tile.top // 16, -(-tile.bottom // 16)), slice(tile.left // 16, -(-tile.right // 16))
        assert torch.allclose(y, whole[:, rows, columns], atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("size", SIZES)
def test_bands_are_the_synthesis_of_the_whole_image(engine, size):
    y = torch.randn(12, *unit_shape(*size), generator=torch.Generator().manual_seed(0)) * 3
    exact = engine.synthesis([(y,)], 0)[0, : size[0], : size[1]].numpy()
    height, width = size
    for window in (Window(0, 0, width, height), Window(width // 2, height // 3, (width + 1) // 2, (height + 1) // 2)):
        with tqdm(disable=True) as bar:
            bands = list(codec._seamless_bands(engine, Plane(y, height, width), window, bar))
        assert [top for top, _ in bands] == [window.y + sum(len(b) for _, b in bands[:i]) for i in range(len(bands))]
        found = np.concatenate([band for _, band in bands]).astype(float)
        x, top, w, h = window
        assert found.shape == (h, w, 3)
        # Half a level of rounding, and what another order of sums changes.
        assert np.abs(found - exact[top : top + h, x : x + w]).max() < 0.51
