"""satstudy.codecs.learned.ladder: a rate or a PSNR is met as closely as the settings allow."""

import numpy as np
import pytest
import torch
import torchmetrics.functional.image as oracle

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.codecs.learned.ladder import Ladder, file_psnr
from satstudy.codecs.wavelet.config import LAM_MAX, LAM_MIN
from satstudy.core.errors import InputError
from satstudy.data.sources import ArraySource


@pytest.fixture(scope="module")
def every_rate(trained_wavelet, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "every.safetensors"
    checkpoint.save(path, trained_wavelet, {"lam": "0.013"})
    return checkpoint.load(path)


def test_a_rate_is_met_within_a_percent_or_so(every_rate, picture):
    image, ladder = picture(128, 160), Ladder(every_rate)
    assert ladder[0].lam == pytest.approx(LAM_MIN, rel=0.01)
    assert ladder[len(ladder) - 1].lam == pytest.approx(LAM_MAX, rel=0.01)
    low, high = (8 * len(ladder[index].encode(image)) / image[..., 0].size for index in (0, len(ladder) - 1))
    for wanted in np.geomspace(1.3 * low, 0.8 * high, 4):
        found = ladder.encode(image, bpp=wanted)
        # The next λ may change the smallest files by some bytes.
        assert found.bpp == pytest.approx(wanted, rel=0.02, abs=8 * 5 / image[..., 0].size)
        assert found.bpp == 8 * len(found.data) / image[..., 0].size
        assert found.psnr is None
        again = LearnedCodec(every_rate, lam=found.codec.lam)
        assert again.encode(image) == found.data
        assert np.array_equal(again.decode(found.data), ladder[3].decode(found.data)), "files of any λ are read"


def test_a_psnr_is_met(every_rate, picture):
    image, ladder = picture(128, 96), Ladder(every_rate)
    ends = [file_psnr(codec, codec.encode(image), image) for codec in (ladder[0], ladder[len(ladder) - 1])]
    wanted = (ends[0] + ends[1]) / 2
    found = ladder.encode(image, {"site": "A"}, psnr=wanted)
    assert found.psnr == pytest.approx(wanted, abs=0.1)
    tensors = [torch.from_numpy(a).permute(2, 0, 1)[None].float() for a in (found.codec.decode(found.data), image)]
    reference = oracle.peak_signal_noise_ratio(*tensors, data_range=255.0)
    assert found.psnr == pytest.approx(float(reference), abs=1e-4)


def test_psnr_counts_pixels_that_have_data(every_rate, picture):
    image, mask = picture(64, 64), np.tri(64, k=-1, dtype=bool)
    codec = LearnedCodec(every_rate, lam=0.05)
    source = ArraySource(image, mask)
    data = codec.encode(source)
    error = (codec.decode(data).astype(float) - image)[mask]
    assert file_psnr(codec, data, source) == pytest.approx(10 * np.log10(255**2 / (error**2).mean()))


def test_single_rates_make_a_ladder_of_files(shelf, picture):
    ladder, image = Ladder(sorted(shelf.glob("overhead*"))[:2]), picture(64, 64)
    rates = [8 * len(ladder[index].encode(image)) / 64**2 for index in range(len(ladder))]
    for rate in rates:
        assert ladder.encode(image, bpp=rate).bpp == rate


@pytest.fixture
def checkpoint_of_one_rate(tiny_model, tmp_path):
    checkpoint.save(tmp_path / "one.safetensors", tiny_model, {"N": "8", "M": "12", "lam": "0.01"})
    return checkpoint.load(tmp_path / "one.safetensors")


def test_what_is_no_ladder_is_refused(every_rate, checkpoint_of_one_rate, picture):
    with pytest.raises(InputError, match="alone"):
        Ladder(checkpoint_of_one_rate)
    with pytest.raises(InputError, match="alone"):
        LearnedCodec(checkpoint_of_one_rate).at(0.02)
    with pytest.raises(InputError, match="one of them"):
        Ladder(every_rate).encode(picture(32, 32))


def test_another_lam_shares_the_networks(every_rate, picture):
    first, image = LearnedCodec(every_rate, lam=0.01), picture(64, 64)
    second = first.at(0.05)
    assert second.setting == "lam=0.05"
    assert first.setting == "lam=0.01"
    assert second.encode(image) == LearnedCodec(every_rate, lam=0.05).encode(image)
    assert first.encode(image) == LearnedCodec(every_rate, lam=0.01).encode(image)
