"""Headers of files for tests."""

from hypothesis import assume
from hypothesis import strategies as st

from satstudy.codecs.coding.bitstream import MAX_TILE, TILINGS, Header

PRINT = bytes(range(8))
SMALL = Header(300, 200, "blend", 64, 8, 2, PRINT, {"crs": "EPSG:32633", "origin": [1.5, -2]})


@st.composite
def headers(draw):
    tiling = draw(st.sampled_from(TILINGS))
    tile = 16 * draw(st.integers(4, 256 if tiling == "seamless" else 64))
    overlap = draw(st.integers(0, tile // 2)) if tiling.startswith("blend") else 0
    group = draw(st.integers(1, min(64, MAX_TILE // tile)))
    height, width = draw(st.integers(1, 3000)), draw(st.integers(1, 3000))
    notes = draw(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=20), max_size=4))
    fingerprint, fill = draw(st.binary(min_size=8, max_size=8)), draw(st.none() | st.integers(0, 255))
    header = Header(height, width, tiling, tile, overlap, group, fingerprint, notes, fill)
    assume(header.in_range())
    return header
