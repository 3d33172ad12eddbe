"""The latents of a file: groups are decoded once, when asked for, and forgotten when they are done with."""

import numpy as np
import pytest
import torch

from satstudy.codecs.learned import codec as learned
from satstudy.codecs.learned.codec import FileLatents, LearnedCodec
from satstudy.data.sources import ArraySource

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def mask():
    y, x = np.mgrid[:150, :230]
    return (x - 100) ** 2 + (y - 60) ** 2 > 900


@pytest.fixture
def opened(checkpoint, picture, mask, monkeypatch):
    """`opened(tiling)`: the latents of a file of 150×230 pixels in groups of 2×2 tiles, and the groups decoded."""
    monkeypatch.setattr(learned, "GROUP_PIXELS", 128)

    def make(tiling):
        codec = LearnedCodec(checkpoint, tiling, patch=64)
        file = codec.open(codec.encode(ArraySource(picture(150, 230), mask)))
        decode, calls = codec.engine.decode, []
        monkeypatch.setattr(codec.engine, "decode", lambda *a: calls.append(a) or decode(*a))
        return FileLatents(codec.engine, file), calls

    return make


def test_groups_are_decoded_when_asked_for_and_once(opened):
    latents, calls = opened("seamless")
    assert not calls
    assert latents.tile(0, 0)[0].shape == (12, 4, 4)
    assert latents.tile(1, 1)[0].dtype == torch.float32
    assert len(calls) == 1, "one group holds both"
    assert latents.tile(2, 3)[0].shape == (12, 2, 3)
    assert len(calls) == 2


def test_what_is_forgotten_is_decoded_again(opened):
    latents, calls = opened("seamless")
    before = latents.tile(0, 0)[0]
    latents.forget(127)  # the group reaches down to row 128
    assert torch.equal(latents.tile(0, 0)[0], before)
    assert len(calls) == 1
    latents.forget(128)
    assert torch.equal(latents.tile(0, 0)[0], before)
    assert len(calls) == 2


def test_a_region_is_put_together_from_its_tiles(opened):
    latents, _ = opened("seamless")
    whole = torch.cat([torch.cat([latents.tile(i, j)[0] for j in range(4)], 2) for i in range(3)], 1)
    assert whole.shape == (12, 10, 15)
    for top, bottom, left, right in [(0, 150, 0, 230), (96, 150, 0, 96), (0, 96, 192, 230), (64, 65, 128, 129)]:
        (region,), y, x = latents.region(top, bottom, left, right, 32)
        assert (y, x) == (max(0, top - 32) // 16 * 16, max(0, left - 32) // 16 * 16)
        rows, columns = slice(y // 16, -(-bottom // 16) + 2), slice(x // 16, -(-right // 16) + 2)
        assert torch.equal(region, whole[:, rows, columns])


@pytest.mark.parametrize("tiling", ["independent", "blend", "seamless"])
def test_masks_are_those_of_the_rectangle(opened, mask, tiling):
    latents, calls = opened(tiling)
    for top, bottom, left, right in [(0, 1, 0, 1), (40, 131, 90, 140), (0, 150, 0, 230), (149, 150, 229, 230)]:
        assert np.array_equal(latents.valid(top, bottom, left, right), mask[top:bottom, left:right])
    assert len(calls) == len(latents.file.spans)
