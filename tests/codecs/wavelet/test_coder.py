"""Files of the wavelet codec: exact on any machine, as short as the model says, and refused when damaged."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.codecs import LearnedCodec
from satstudy.codecs.learned.codec import Window
from satstudy.codecs.wavelet.coder import WaveletCoder
from satstudy.codecs.wavelet.config import lam_index, lam_of
from satstudy.codecs.wavelet.engine import WaveletEngine
from satstudy.codecs.wavelet.exact import convolutions_are_exact, exact_arithmetic, exact_networks
from satstudy.codecs.wavelet.model import condition
from satstudy.codecs.wavelet.subbands import Bands
from satstudy.core.errors import DamagedFile, InputError, WrongWeights

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def coder(small_wavelet):
    return WaveletCoder(small_wavelet)


def bands_of(model, image, index):
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return model.decompose(x, condition(torch.tensor([lam_of(index)], dtype=torch.float32)))


def equal(a: Bands, b: Bands) -> bool:
    return torch.equal(a.low, b.low) and all(torch.equal(p, q) for p, q in zip(a.details, b.details, strict=True))


def test_exact_networks_are_near_the_trained_ones_and_equal_in_double_precision(small_wavelet):
    exact = exact_networks(small_wavelet, CPU)
    x = torch.randint(-500, 500, (1, 24, 9, 11), generator=torch.Generator().manual_seed(0)).float()
    shift = torch.zeros(1, 24, 1, 1)
    with exact_arithmetic():
        single = exact.level(0).features(x, [shift])
        means, scales = exact.level(0).predict(single, 0, [], shift)
        double = exact_networks(small_wavelet, CPU).double()
        again = double.level(0).features(x.double(), [shift.double()])
        means_again, scales_again = double.level(0).predict(again, 0, [], shift.double())
        trained = small_wavelet.networks.level(0)
        loose = trained.predict(trained.features(x / 32, [shift]), 0, [], shift)[0]
    assert torch.equal(single.double(), again)
    assert torch.equal(means.double(), means_again)
    assert torch.equal(scales.double(), scales_again)
    assert (means / 32 - loose).abs().mean() < 0.05 * loose.abs().mean() + 0.02


def test_weights_too_large_for_exact_sums_are_refused(small_wavelet):
    import copy

    model = copy.deepcopy(small_wavelet)
    with torch.no_grad():
        model.networks.level(0).trunk[0].weight.mul_(1e6)
    with pytest.raises(InputError, match="too large"):
        exact_networks(model, CPU)


def test_inexact_convolutions_are_noticed(monkeypatch):
    assert convolutions_are_exact(CPU)
    plain = torch.nn.functional.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda x, w, **k: plain(x, w, **k) * (1 + 2e-7))
    assert not convolutions_are_exact(CPU)


@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_what_is_coded_is_decoded(coder, small_wavelet, picture, data):
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4))
    index = data.draw(st.integers(-425, 277))
    tiles = [bands_of(small_wavelet, picture(16 * r, 16 * c, i), index) for i, (r, c) in enumerate(shapes)]
    stream, decoded = coder.encode(tiles, index)
    again = coder.decode(stream, shapes, index)
    assert all(equal(a, b) for a, b in zip(decoded, again, strict=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_batches_do_not_matter(coder, small_wavelet, picture, threads):
    tiles = [bands_of(small_wavelet, picture(64, 96, i), 0) for i in range(3)]
    stream, _ = coder.encode(tiles, 0)
    torch.set_num_threads(threads)
    other = WaveletCoder(small_wavelet)
    assert other.encode(tiles, 0)[0] == stream
    alone = [other.encode([tile], 0)[1][0] for tile in tiles]
    assert all(equal(a, b) for a, b in zip(alone, coder.decode(stream, [(4, 6)] * 3, 0), strict=True))


def test_a_file_is_as_long_as_the_model_says(coder, small_wavelet, picture):
    image = picture(256, 256)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    for index in (-200, 0, 200):
        with torch.no_grad():
            bits = float(small_wavelet(x, torch.tensor([lam_of(index)], dtype=torch.float32))[0])
        stream, _ = coder.encode([bands_of(small_wavelet, image, index)], index)
        assert 8 * len(stream) == pytest.approx(bits, rel=0.05)


def test_damage_is_refused(coder, small_wavelet, picture):
    stream, decoded = coder.encode([bands_of(small_wavelet, picture(64, 64), 0)], 0)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        data = bytearray(stream)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            assert equal(coder.decode(bytes(data), [(4, 4)], 0)[0], decoded[0])
        except DamagedFile:
            refused += 1
    assert refused > 35
    for wrong in (b"", stream[:10], stream + stream):
        with pytest.raises(DamagedFile):
            coder.decode(wrong, [(4, 4)], 0)


def test_a_lam_is_named_within_a_percent_and_others_are_refused():
    for lam in (1e-4, 0.0037, 0.01, 0.2):
        assert lam_of(lam_index(lam)) == pytest.approx(lam, rel=0.006)
    for lam in (0, -1, 1e-9, 5.0):
        with pytest.raises(InputError, match="outside"):
            lam_index(lam)


# --- Whole files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tiling", ["seamless", "blend", "independent"])
def test_a_file_gives_the_image_and_a_window_its_crop(wavelet_checkpoint, picture, tiling, monkeypatch):
    monkeypatch.setattr(WaveletEngine, "piece", 64)
    image = picture(150, 230)
    codec = LearnedCodec(wavelet_checkpoint, tiling, patch=64, lam=0.05)
    data = codec.encode(image)
    whole = codec.decode(data)
    assert whole.shape == image.shape
    assert 10 * np.log10(255**2 / np.mean((whole.astype(float) - image) ** 2)) > 25
    part = codec.decode(data, Window(77, 20, 100, 91)).astype(int)
    assert np.abs(part - whole[20:111, 77:177]).max() <= 1


def test_seamless_pieces_give_what_the_whole_image_gives(wavelet_checkpoint, picture, monkeypatch):
    image = picture(250, 333)
    codec = LearnedCodec(wavelet_checkpoint, lam=0.02)
    data, whole = codec.encode(image), codec.decode(codec.encode(image))
    monkeypatch.setattr(WaveletEngine, "piece", 64)
    pieces = LearnedCodec(wavelet_checkpoint, lam=0.02)
    assert abs(len(pieces.encode(image)) - len(data)) <= 4
    assert np.abs(pieces.decode(data).astype(int) - whole).max() <= 1


def test_any_codec_of_the_weights_reads_any_lam(wavelet_checkpoint, picture):
    image = picture(70, 90)
    files = [LearnedCodec(wavelet_checkpoint, lam=lam).encode(image) for lam in (0.0005, 0.01, 0.1)]
    assert len(files[0]) < len(files[1]) < len(files[2])
    reader = LearnedCodec(wavelet_checkpoint)
    for file, lam in zip(files, (0.0005, 0.01, 0.1), strict=True):
        assert np.array_equal(reader.decode(file), LearnedCodec(wavelet_checkpoint, lam=lam).decode(file))


def test_other_weights_are_told_apart(wavelet_checkpoint, checkpoint, picture):
    data = LearnedCodec(wavelet_checkpoint).encode(picture(40, 40))
    with pytest.raises(WrongWeights):
        LearnedCodec(checkpoint).decode(data)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 16)])
def test_small_images_come_back(wavelet_checkpoint, picture, size):
    codec = LearnedCodec(wavelet_checkpoint, lam=0.2)
    image = picture(*size)
    assert codec.decode(codec.encode(image)).shape == image.shape
