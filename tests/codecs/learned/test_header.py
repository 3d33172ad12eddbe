"""How a file says its image was cut: every tile in one group, and no more work than the pixels ask for."""

from dataclasses import replace

from hypothesis import given, settings
from some_headers import SMALL, headers

from satstudy.codecs.coding.bitstream import MAX_SIDE


@given(header=headers())
@settings(deadline=None)
def test_groups_hold_every_tile_once_and_in_the_order_of_the_streams(header):
    layout = header.layout()
    groups = list(header.groups())
    down, across = header.group_counts()
    assert len(groups) == down * across
    assert all(groups)
    tiles = [tile for group in groups for tile in group]
    assert len(tiles) == len(set(tiles)) == len(layout)
    for i in range(down):
        for j in range(across):
            assert groups[header.group_index(i, j)] == header.group_tiles(i, j)
            assert all((r // header.group, c // header.group) == (i, j) for r, c in header.group_tiles(i, j))
    assert tiles[-1] == (len(layout.rows) - 1, len(layout.columns) - 1)
    assert header.tile_counts() == (len(layout.rows), len(layout.columns))


@given(header=headers())
@settings(deadline=None)
def test_the_area_of_a_group_is_that_of_its_tiles(header):
    layout = header.layout()
    down, across = header.group_counts()
    for i in range(down):
        for j in range(across):
            patches = [layout[at] for at in header.group_tiles(i, j)]
            area = header.group_area(i, j)
            assert (area.top, area.left) == patches[0][::2]
            assert (area.bottom, area.right) == patches[-1][1::2]


def test_many_small_groups_and_large_patches_are_out_of_range():
    """A reader would work for hours, or take gigabytes, for a small file."""
    small = replace(SMALL, tiling="blend", tile=16, overlap=8, group=1)
    assert replace(small, height=64, width=64).in_range()
    assert not replace(small, height=2048, width=2048).in_range()
    assert replace(small, height=2048, width=2048, group=64).in_range()
    assert replace(small, height=1, width=MAX_SIDE, group=64).in_range(), "thin, but honest"
    assert not replace(small, tile=2048, overlap=0).in_range()
    assert replace(SMALL, tiling="seamless", overlap=0, tile=4096, group=1).in_range()
