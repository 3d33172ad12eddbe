"""The order of coding: every position once, after everything that it depends on."""

import itertools
import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.codecs.mbt2018.wavefront import CONTEXT, plan


@given(shapes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_every_position_comes_once_and_after_its_context(shapes):
    steps = plan(shapes)
    _tiles, rows, columns = steps.grid
    when = np.full(steps.grid, -1)
    for step, (at, place) in enumerate(zip(steps.padded_indices, steps.indices, strict=True)):
        tile, r, c = np.unravel_index(place.numpy(), steps.grid)
        assert np.array_equal(np.ravel_multi_index((tile, r + 2, c + 2), steps.padded), at.numpy())
        assert (when[tile, r, c] == -1).all()
        assert len(at)
        when[tile, r, c] = step
    for tile, (height, width) in enumerate(shapes):
        inside = when[tile, :height, :width]
        assert (inside >= 0).all()
        assert (when[tile].size - (when[tile] >= 0).sum()) == rows * columns - height * width
        for r, c in itertools.product(range(height), range(width)):
            for dr, dc in CONTEXT:
                if r + dr >= 0 and 0 <= c + dc < width:
                    assert inside[r + dr, c + dc] < inside[r, c]


def test_what_lies_around_a_tile_is_zero_and_never_another_tile():
    """Padded positions read as context but coded by no step stay zero: right, above and between tiles."""
    steps = plan([(3, 4), (3, 4)])
    coded = torch.cat(steps.padded_indices).numpy()
    for tile in range(2):
        mine = set(coded[coded // (5 * 8) == tile])
        for at in mine:
            for dr, dc in CONTEXT:
                other = at + dr * steps.padded[2] + dc
                assert 0 <= other < math.prod(steps.padded)
                assert other in mine or other not in coded
