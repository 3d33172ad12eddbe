"""The benchmarks measure what they say: the widened model is the same function."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import archive, common, explore, fuzz, gpu, mismatch, training
from satstudy.codecs.coding import bitstream
from satstudy.codecs.mbt2018.entropy import EntropyCoder
from satstudy.codecs.wavelet.engine import WaveletEngine


def test_a_widened_model_is_the_same_function(tiny_model):
    wide = common.widen(tiny_model, 3, 2)
    assert (wide.N, wide.M) == (3 * tiny_model.N, 2 * tiny_model.M)
    x = torch.rand(2, 3, 64, 128)
    with torch.no_grad():
        assert torch.allclose(wide.g_a(x), tiny_model.g_a(x).repeat(1, 2, 1, 1), atol=1e-4)
        assert torch.allclose(wide.g_s(wide.g_a(x)), tiny_model.g_s(tiny_model.g_a(x)), atol=1e-4)
        bits, x_hat = wide.estimate(x)
        small_bits, small_hat = tiny_model.estimate(x)
    assert torch.allclose(x_hat, small_hat, atol=1.1 / 255)
    # Latents are coded twice, hyper-latents three times: the rate lies between.
    assert (bits >= 1.9 * small_bits).all()
    assert (bits <= 3.1 * small_bits).all()


def test_the_widened_model_codes(tiny_model):
    wide = common.widen(tiny_model, 3, 2)
    y = torch.randn(wide.M, 8, 8, generator=torch.Generator().manual_seed(0)) * 3
    data, y_hat = EntropyCoder(wide).encode([y])
    assert torch.equal(EntropyCoder(wide).decode(data, [(8, 8)])[0], y_hat[0])


def test_hostile_files_differ_from_the_original(checkpoint):
    from satstudy.codecs import LearnedCodec

    data = LearnedCodec(checkpoint, "seamless", 64).encode(np.zeros((80, 90, 3), np.uint8))
    rng = np.random.default_rng(0)
    made = [fuzz.mutate(data, rng) for _ in range(200)]
    assert sum(m != data for m in made) > 190
    # Resealing what is whole changes nothing, and gives a forged stream a checksum that fits.
    assert explore.resealed(data) == data
    forged = bytearray(data)
    forged[-1] ^= 1
    assert fuzz._valid(data)
    assert not fuzz._valid(bytes(forged))
    assert fuzz._valid(explore.resealed(bytes(forged)))


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # of switching oneDNN off
def test_a_decoder_that_computes_otherwise_is_counted(wavelet_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(mismatch, "shipped_for_every_rate", lambda: wavelet_checkpoint)
    mismatch.every_rate(2)
    figures = json.loads((tmp_path / "mismatch-every-rate.json").read_text())
    assert (figures["decodings"], figures["mismatches"]) == (6, 0)
    decode = WaveletEngine.decode

    def other(self, *arguments):
        low, *details = decode(self, *arguments)[0]
        return [(low + (torch.get_num_threads() > 1), *details)]

    monkeypatch.setattr(WaveletEngine, "decode", other)
    monkeypatch.setattr(mismatch, "SETTINGS", [s for s in mismatch.SETTINGS if s[1] == 1])
    with pytest.raises(SystemExit):
        mismatch.every_rate(2)


@pytest.mark.parametrize("name", explore.TARGETS)
def test_what_fuzzing_found_of_interest_is_read_or_refused(name):
    """A target raises where the package has a fault."""
    files = sorted((explore.CORPUS / name).iterdir())
    assert explore.CORPUS / name / "seed" in files
    for path in files:
        explore.TARGETS[name](path.read_bytes())


def test_a_target_tells_a_fault(monkeypatch):
    monkeypatch.setattr(bitstream, "unpack_mask", lambda rows, top, bottom, left, right: np.zeros((bottom, 1), bool))
    with pytest.raises(AssertionError):
        explore.mask((explore.CORPUS / "mask/seed").read_bytes())


@pytest.mark.parametrize("name", [training.EXAMPLE, "Adam, float32", "SOAP"])
def test_every_loop_trains_on_the_same_crops_and_is_judged_alike(name, tiny_model, tmp_path, picture, monkeypatch):
    monkeypatch.setattr(training, "CONFIG", dataclasses.replace(training.CONFIG, batch=1, crop=64))
    monkeypatch.setattr(training, "TRIAL", 4)
    images = [picture(96, 96, seed) for seed in range(3)]
    rate, loss, bpp, psnr = training._run(name, tiny_model, images, images, tmp_path, 0.3)
    assert rate > 0
    assert np.isfinite(loss)
    assert loss == pytest.approx(training.LAM * 255**2 * 10 ** (-psnr / 10) + bpp, rel=0.1)


@pytest.mark.slow
def test_an_archive_that_is_killed_loses_nothing_and_reports_what_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    archive.main(count=40, shards=2, kill_at=[0.4])
    figures = json.loads((tmp_path / "archive.json").read_text())
    assert (figures["files lost"], figures["reported coded"], figures["reported failed"]) == (0, 33, archive.DAMAGED)


@pytest.mark.slow
def test_the_check_of_a_gpu_is_rehearsed_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    gpu.main(side=96, steps=4)
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert "rehearsal" in figures["device"]
    assert figures["mbt2018: files equal"]
    assert figures["mbt2018: largest difference of pixels"] == 0
    assert figures["bf16: loss of the last quarter"] == pytest.approx(
        figures["fp32: loss of the last quarter"], rel=0.1
    )


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_benchmarks(option, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", option])
    command.main()
    assert "memory-mbt2018" in capsys.readouterr().out
