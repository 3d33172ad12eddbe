"""One image in files of about one size."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_study import place, ship
from torchmetrics.functional.image import peak_signal_noise_ratio

from satstudy.codecs import JPEG, WebP
from satstudy.core.errors import InputError
from satstudy.study.one_image import coding_table, equal_files, labelled, of_size

pytestmark = pytest.mark.usefixtures("one_thread")


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(100, 30_000))
def test_no_other_quality_comes_nearer_to_a_size(picture, size):
    image = picture(96, 80)
    for name, make in (("jpeg", JPEG), ("webp", WebP)):
        found = of_size(name, image, size)
        sizes = [len(make(quality).encode(image)) for quality in range(1, 101)]
        assert found.codec.encode(image) == found.data
        assert (found.decoded == found.codec.decode(found.data)).all()
        # Sizes rise with the quality, but for a step here and there.
        assert abs(len(found.data) - size) <= min(abs(other - size) for other in sizes) + 0.02 * size


def test_a_codec_of_rates_takes_the_rate_and_one_of_another_setting_is_refused(picture):
    image = picture(128, 128)
    found = of_size("jpeg2000", image, 3000)
    assert found.codec.setting == f"bpp={8 * 3000 / 128**2:g}"
    assert len(found.data) == pytest.approx(3000, rel=0.05)
    with pytest.raises(InputError, match="by the qp of hevc"):
        of_size("hevc", image, 3000)
    with pytest.raises(InputError, match="did you mean avif"):
        of_size("avi", image, 3000)


def test_files_are_as_equal_as_the_ladder_allows_and_measured_on_what_they_hold(
    tmp_path, tiny_model, make_model, picture
):
    import torch

    image = picture(176, 200)
    with place(tmp_path, tiny_model):
        coarse = make_model()
        with torch.no_grad():
            coarse.g_a[6].weight.mul_(0.3)
        ship(tmp_path / "weights", coarse, 0.001)
        codings = equal_files(image, 1.0)
        with pytest.raises(InputError, match="must be above 0"):
            equal_files(image, -1.0)
    table = coding_table(image, codings)
    assert table["codec"].tolist() == ["mbt2018", "avif", "jpeg2000"]
    assert (table["bytes"] / table["bytes"][0]).between(0.85, 1.18).all()
    assert list(labelled(codings)) == ["mbt2018", "AVIF", "JPEG 2000"]
    for row, coding in zip(table.itertuples(), codings, strict=True):
        assert row.bytes == len(coding.data)
        assert row.bpp == pytest.approx(8 * row.bytes / (176 * 200))
        decoded = torch.from_numpy(coding.codec.decode(coding.data).astype(np.float32))
        oracle = peak_signal_noise_ratio(decoded, torch.from_numpy(image.astype(np.float32)), data_range=255.0)
        assert row.psnr == pytest.approx(float(oracle), abs=1e-3)


def test_without_weights_one_sentence_says_so(tmp_path, tiny_model, picture):
    with place(tmp_path, tiny_model):
        (tmp_path / "weights" / "overhead-lam0.01.safetensors").unlink()
        with pytest.raises(InputError, match="No weights for overhead images ship"):
            equal_files(picture(64, 64), 0.5)
