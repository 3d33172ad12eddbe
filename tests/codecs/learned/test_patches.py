"""Patches go through the transforms in batches, and come out in order as if each had gone alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tqdm.auto import tqdm

from satstudy.codecs.coding.engine import padded
from satstudy.codecs.learned import codec
from satstudy.codecs.mbt2018.engine import Mbt2018Engine
from satstudy.codecs.mbt2018.prior import hyper_tables
from satstudy.core.geometry import grid
from satstudy.data.sources import ArraySource

pytestmark = pytest.mark.usefixtures("one_thread")


class Tiles:
    """Latents that are there already, in the place of a file's."""

    def __init__(self, layout):
        generator = torch.Generator().manual_seed(0)
        self.known = {
            (i, j): (torch.randn(12, -(-(b - a) // 16), -(-(d - c) // 16), generator=generator) * 3,)
            for i, (a, b) in enumerate(layout.rows)
            for j, (c, d) in enumerate(layout.columns)
        }
        self.forgotten = []
        self.file = SimpleNamespace(header=SimpleNamespace(lam_index=0))

    def tile(self, i, j):
        return self.known[i, j]

    def forget(self, row):
        self.forgotten.append(row)


@pytest.fixture(params=[1, 3])
def engine(tiny_model, monkeypatch, request):
    monkeypatch.setitem(codec.BATCH, "cpu", request.param)
    return Mbt2018Engine(tiny_model, hyper_tables(tiny_model), 0.01)


@pytest.mark.parametrize("overlap", [0, 8])
def test_latents_are_those_of_each_patch_alone(engine, picture, overlap):
    image = picture(150, 230)
    layout = grid(150, 230, 64, overlap)
    tiles = [(i, j) for i in range(len(layout.rows)) for j in range(len(layout.columns))]
    with tqdm(total=len(tiles), disable=True) as bar:
        found = list(codec._analyse_patches(engine, ArraySource(image), layout, tiles, codec.BATCH["cpu"], bar))
    assert len(found) == len(tiles)
    for at, y in zip(tiles, found, strict=True):
        top, bottom, left, right = layout[at]
        (alone,) = engine.analysis(padded(torch.from_numpy(image[top:bottom, left:right]))[None])[0]
        assert torch.allclose(y[0], alone, atol=1e-5 * float(alone.abs().max()))


def test_pixels_are_those_of_each_patch_alone(engine):
    layout = grid(150, 230, 64, 8)
    latents, rows, columns = Tiles(layout), [1, 2], [0, 1, 3]
    with tqdm(total=6, disable=True) as bar:
        found = list(codec._decoded_patches(engine, latents, layout, rows, columns, bar))
    assert latents.forgotten == [layout.rows[i][0] for i in rows]
    for (i, j), pixels in zip([(i, j) for i in rows for j in columns], found, strict=True):
        alone = engine.synthesis([latents.tile(i, j)], 0)[0].numpy()
        patch = layout[i, j]
        assert pixels.shape == (patch.height, patch.width, 3)
        assert np.abs(pixels - alone[: patch.height, : patch.width]).max() < 1e-2
