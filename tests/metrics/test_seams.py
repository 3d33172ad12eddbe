"""Seams are found where they are, and only there; the crop for the eye is found by a rule."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patched import layouts, noise

from satstudy.core.errors import InputError
from satstudy.core.geometry import grid
from satstudy.metrics import quality, seams
from satstudy.metrics.seams import (
    measure,
    measured_layout,
    psnr_near_away,
    seam_measure,
    seam_profile,
    worst_seam,
)


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    wave = 128 + 50 * np.sin(x / 9.3) + 40 * np.cos(y / 7.1)
    return np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)


def stepped(image, layout, step):
    """Every other patch brighter by `step`, as patches that were coded on their own can be."""
    out = image.copy()
    for i in range(len(layout.rows)):
        for j in range(len(layout.columns)):
            if (i + j) % 2:
                p = layout[i, j]
                out[p.top : p.bottom, p.left : p.right] += np.uint8(step)
    return out


@given(layouts, st.integers(0, 255))
def test_a_uniform_image_has_the_measure_one(layout, level):
    image = np.full((layout.height, layout.width, 3), level, np.uint8)
    assert seam_measure(image, layout) == 1


@given(layouts, st.integers(0, 99), st.integers(1, 90))
def test_a_step_at_the_seams_raises_the_measure_and_more_so_a_higher_one(layout, seed, step):
    layout = grid(layout.height, layout.width, layout.patch, 0)
    flat = np.full((layout.height, layout.width, 3), 100, np.uint8)
    assert seam_measure(stepped(flat, layout, step), layout) == math.inf
    image = noise(layout.height, layout.width, seed, 100, 104)
    own, low, high = (seam_measure(stepped(image, layout, s), layout) for s in (0, 10, 10 + step))
    assert own < low < high


@pytest.mark.parametrize("overlap", [0, 8])
def test_a_smooth_image_and_noise_have_a_measure_near_one(overlap):
    layout = grid(400, 500, 48, overlap)
    assert seam_measure(smooth(400, 500), layout) == pytest.approx(1, abs=0.15)
    assert seam_measure(noise(400, 500), layout) == pytest.approx(1, abs=0.03)


def test_what_the_content_does_along_a_seam_falls_out_of_the_ratio():
    layout = grid(120, 120, 60, 0)
    road = noise(120, 120)
    road[:, 60:64] = 250
    assert seam_measure(road, layout) > 2
    row = measure(road, road // 2 * 2, 9, layout, image="a", lam=0.01, tiling="independent")
    assert seams.with_derived(pd.DataFrame([row]))["ratio"][0] == pytest.approx(1, abs=0.02)


def test_the_measure_agrees_with_its_definition_written_out():
    layout, image = grid(70, 50, 32, 6), noise(70, 50, 3)
    y = image.astype(float) @ [0.299, 0.587, 0.114]
    rows, columns = layout.seams
    at, elsewhere, count = 0.0, 0.0, 0
    for places, plane in ((rows, y), (columns, y.T)):
        gradient = [np.abs(plane[i] - plane[i - 1]).mean() for i in range(1, len(plane))]
        other = np.mean([g for i, g in enumerate(gradient, 1) if i not in places])
        at += sum(gradient[s - 1] for s in places) * plane.shape[1]
        elsewhere += other * len(places) * plane.shape[1]
        count += len(places)
    assert count > 4
    assert seam_measure(image, layout) == pytest.approx(at / elsewhere, rel=1e-5)


def test_blocks_of_rows_leave_no_trace(monkeypatch):
    layout, image, other = grid(70, 50, 32, 6), noise(70, 50, 3), noise(70, 50, 4)

    def results():
        table = seam_profile(image, other, layout, 12)
        return seam_measure(image, layout), *psnr_near_away(image, other, layout), *table.to_numpy().ravel()

    whole = results()
    monkeypatch.setattr(seams, "BLOCK", 7)
    assert results() == pytest.approx(whole, rel=1e-5)


def test_without_a_seam_there_is_no_measure():
    image, layout = noise(40, 40), grid(40, 40, 64, 8)
    assert math.isnan(seam_measure(image, layout))
    near, away = psnr_near_away(image, noise(40, 40, 1), layout)
    assert math.isnan(near)
    assert away == pytest.approx(quality.psnr(image, noise(40, 40, 1)))
    for function in (seam_profile, lambda *a: worst_seam(*a, size=16)):
        with pytest.raises(InputError, match="one patch"):
            function(image, image, layout)


def test_where_every_boundary_is_a_seam_there_is_nothing_to_compare_with():
    assert math.isnan(seam_measure(noise(4, 4), grid(4, 4, 1, 0)))


def test_errors_at_seams_lower_the_psnr_near_them_and_not_away():
    layout, original = grid(64, 64, 32, 0), noise(64, 64)
    decoded = original.copy()
    decoded[:, 31:33] += 10
    near, away = psnr_near_away(decoded, original, layout, distance=4)
    assert away == math.inf
    # Within 4 px of row 32 or column 32: 8·64 + 8·64 − 8·8 pixels, of which 2·64 are off by 10.
    assert near == pytest.approx(10 * math.log10(255**2 * 960 / (128 * 100)))


@given(layouts, st.integers(1, 12), st.integers(0, 99))
def test_near_and_away_together_are_the_whole(layout, distance, seed):
    a, b = noise(layout.height, layout.width, seed), noise(layout.height, layout.width, seed + 1)
    near, away = psnr_near_away(a, b, layout, distance)
    y, x = np.mgrid[: layout.height, : layout.width] + 0.5
    mask = np.zeros((layout.height, layout.width), bool)
    for places, at in zip(layout.seams, (y, x), strict=True):
        for s in places:
            mask |= np.abs(at - s) < distance
    for parts, at in ((layout.rows, y), (layout.columns, x)):
        mask |= sum(((a < at) & (at < b)).astype(int) for a, b in parts) > 1  # in an overlap
    errors = [255**2 / 10 ** (p / 10) for p in (near, away)]
    mixed = np.nansum([errors[0] * mask.mean(), errors[1] * (~mask).mean()])
    assert mixed == pytest.approx(255**2 / 10 ** (quality.psnr(a, b) / 10))


def test_the_profile_peaks_at_the_seam_and_nowhere_else():
    layout, original = grid(96, 128, 32, 0), noise(96, 128, 0, 100, 110)
    table = seam_profile(original, stepped(original, layout, 40), layout, reach=16)
    assert list(table["distance"]) == list(range(17))
    # Each other patch is brighter, so every seam has the step, in one sense or the other.
    assert table["gradient"][0] == pytest.approx(40, abs=1)
    pd.testing.assert_series_equal(table["gradient"][1:], table["gradient_original"][1:], check_names=False)
    assert table["error"].between(10, 30).all()


def test_sizes_that_do_not_fit_are_refused():
    image, layout = noise(40, 40), grid(40, 40, 20, 0)
    with pytest.raises(InputError, match="does not fit"):
        worst_seam(image, image, layout, size=41)
    with pytest.raises(InputError, match=r"geometry\.grid"):
        seam_measure(noise(41, 40), layout)
    with pytest.raises(InputError, match="1 pixel or more"):
        psnr_near_away(image, image, layout, 0)


@pytest.mark.parametrize(
    ("tiling", "patch", "overlap"), [("independent", 32, 0), ("blend", 32, 4), ("seamless", 32, 0)]
)
def test_a_row_has_the_columns_of_the_frame(tiling, patch, overlap):
    layout = measured_layout(80, 90, tiling, overlap=4, patch=32)
    assert (layout.patch, layout.overlap) == (patch, overlap)
    original = noise(80, 90)
    row = measure(original, original // 2 * 2, 900, layout, image="a", lam=0.01, tiling=tiling)
    assert tuple(row) == seams.COLUMNS
    assert row["bpp"] == 1.0
    assert row["psnr"] == pytest.approx(row["psnr_near"], abs=0.5) == pytest.approx(row["psnr_away"], abs=0.5)
    assert row["seam"] / row["seam_original"] == pytest.approx(1, abs=0.05)


def test_a_reference_is_measured_at_the_same_pixels():
    layout, original = grid(64, 64, 32, 0), noise(64, 64)
    decoded, seamless = original.copy(), original.copy()
    decoded[:, 31:33] += 20
    seamless[:, 31:33] += 10
    seamless[:8, :8] += 50  # away from the seams
    row = measure(original, decoded, 9, layout, image="a", lam=0.01, tiling="independent", reference=seamless)
    lost = seams.with_derived(pd.DataFrame([row]))["lost"][0]
    assert lost == pytest.approx(10 * math.log10(4))


def test_an_unknown_tiling_is_refused():
    with pytest.raises(InputError, match="take one of independent, blend, seamless"):
        measured_layout(80, 90, "tiles")


def test_the_worst_seam_is_the_one_that_grew():
    layout, original = grid(120, 160, 40, 0), noise(120, 160)
    decoded = original.copy()
    decoded[70:100, 80:100] += 60  # along the vertical seam at 80, rows 70 to 99
    crop = worst_seam(original, decoded, layout, size=30)
    assert crop == (70, 65, 30, "vertical")
    turned = [np.ascontiguousarray(im.transpose(1, 0, 2)) for im in (original, decoded)]
    assert worst_seam(*turned, grid(160, 120, 40, 0), size=30) == (65, 70, 30, "horizontal")


@given(layouts, st.integers(2, 20), st.integers(0, 99))
def test_the_crop_lies_in_the_image_and_holds_a_seam(layout, size, seed):
    original, decoded = noise(layout.height, layout.width, seed), noise(layout.height, layout.width, seed + 1)
    top, left, size, orientation = worst_seam(original, decoded, layout, size)
    assert 0 <= top <= layout.height - size
    assert 0 <= left <= layout.width - size
    rows, columns = layout.seams
    start, places = (top, rows) if orientation == "horizontal" else (left, columns)
    assert any(start < s < start + size for s in places)


def test_equal_pieces_give_the_first():
    layout, flat = grid(64, 64, 32, 0), np.full((64, 64, 3), 9, np.uint8)
    assert worst_seam(flat, flat, layout, size=20) == (22, 0, 20, "horizontal")


def test_the_crop_shows_a_seam_of_another_layout_as_well():
    apart, over = grid(200, 200, 40, 0), grid(200, 200, 40, 4)
    original = noise(200, 200)
    decoded = original.copy()
    decoded[158:160] += 80  # the worst is the seam at row 160; the overlaps begin at 36, 72, 108, 144
    decoded[38:40] += 40
    assert worst_seam(original, decoded, apart, size=16)[0] == 152
    assert worst_seam(original, decoded, apart, size=16, beside=over)[0] == 32
    assert worst_seam(original, decoded, apart, size=16, beside=grid(200, 200, 200, 0))[0] == 152, "none shows both"


def test_bits_are_compared_image_by_image():
    part = pd.DataFrame({"image": ["a_1.png", "b_1.png", "b_2.png"], "lam": 0.01, "bytes": [110, 8000, 50]})
    base = pd.DataFrame({"image": ["b_1.png", "a_1.png", "b_2.png"], "lam": 0.01, "bytes": [10_000, 100, 100]})
    found = seams.bits_change(part, base)
    assert found.value == pytest.approx(100 * ((1.1 * 0.8 * 0.5) ** (1 / 3) - 1))
    assert math.isnan(found.low), "two places"
    part["image"] = base["image"] = ["a", "b", "c"]
    found = seams.bits_change(part, base.assign(bytes=[100, 10_000, 100]))
    assert -50 - 1e-9 < found.low < found.value < found.high < 10 + 1e-9
    assert math.isnan(seams.bits_change(part, base[:1]).value)
    assert math.isnan(seams.bits_change(part[:0], base).value)
