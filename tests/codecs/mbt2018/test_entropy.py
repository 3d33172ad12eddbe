"""Exact entropy coding: the decoder finds what the encoder had, whatever they ran on."""

import contextlib
import hashlib
import itertools
import math
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import compressai
from reference_integers import activation, on_grid, reference_h_s
from torch import nn

from satstudy.codecs.coding import integers
from satstudy.codecs.coding.integers import ACTIVATION_BITS, LIMIT, WEIGHT_BITS
from satstudy.codecs.coding.probability import MAX_SYMBOL, scale_thresholds
from satstudy.codecs.coding.range_coder import write_residuals
from satstudy.codecs.mbt2018 import entropy
from satstudy.codecs.mbt2018.entropy import ContextModel, EntropyCoder
from satstudy.codecs.mbt2018.model import build
from satstudy.codecs.mbt2018.prior import hyper_tables
from satstudy.codecs.mbt2018.wavefront import plan
from satstudy.core.errors import DamagedFile, InputError

pytestmark = pytest.mark.usefixtures("one_thread")
RAGGED = [(16, 16), (1, 1), (5, 9), (16, 16), (9, 2), (1, 7)]


@pytest.fixture(scope="module")
def coder(tiny_model):
    return EntropyCoder(tiny_model)


def latents(shapes, seed=0, scale=2.0, M=12):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(M, *shape, generator=generator) * scale for shape in shapes]


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@contextlib.contextmanager
def onednn(enabled):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TF32, which the same call sets
        with torch.backends.mkldnn.flags(enabled=enabled):
            yield


# --- Round trips ----------------------------------------------------------------------------------------


@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 0.3, 2.0, 30.0, 1000.0]),
)
@settings(max_examples=25, deadline=None)
def test_ragged_tiles_come_back_as_coded(coder, shapes, seed, scale):
    y = latents(shapes, seed, scale)
    data, y_hat = coder.encode(y)
    assert same(coder.decode(data, shapes), y_hat)
    assert [tuple(t.shape) for t in y_hat] == [(12, *shape) for shape in shapes]
    assert all(t.dtype == torch.float32 for t in y_hat)
    # Rounding relative to a mean on the grid of 2^-6.
    assert all((a - b).abs().max() <= 0.5 + 2**-9 for a, b in zip(y, y_hat, strict=True))


@pytest.mark.parametrize("scale", [1e4, 1e9])
def test_latents_beyond_every_table_are_escaped_or_kept_at_the_limit(coder, scale):
    y = latents([(3, 4), (8, 8)], 3, scale)
    data, y_hat = coder.encode(y)
    assert same(coder.decode(data, [(3, 4), (8, 8)]), y_hat)
    top = MAX_SYMBOL
    for a, b in zip(y, y_hat, strict=True):
        assert (a.clamp(-top, top) - b).abs().max() <= 0.5 + LIMIT / (1 << ACTIVATION_BITS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_are_refused(coder, value):
    y = latents([(3, 3)])
    y[0][2, 1, 1] = value
    with pytest.raises(InputError, match="finite"):
        coder.encode(y)


# --- Exactness ------------------------------------------------------------------------------------------


def test_dtypes_give_one_stream_and_read_each_others(tiny_model):
    coder, single = (EntropyCoder(tiny_model, dtype=dtype) for dtype in (torch.float64, torch.float32))
    for scale in (2.0, 300.0):  # the second reaches the limit of activations
        y = latents(RAGGED, 1, scale)
        data, y_hat = coder.encode(y)
        other, other_hat = single.encode(y)
        assert data == other
        assert same(y_hat, other_hat)
        assert same(single.decode(data, RAGGED), y_hat)


def test_thread_counts_and_libraries_do_not_matter(tiny_model, coder):
    shapes = [(3, 3)] * 60 + [(2, 4)]  # few steps of many rows, which are worth a second thread
    data, y_hat = coder.encode(latents(shapes, 2))
    single = EntropyCoder(tiny_model, dtype=torch.float32)
    for threads, library in itertools.product((1, 2), (True, False)):
        torch.set_num_threads(threads)
        with onednn(library):
            assert same(coder.decode(data, shapes), y_hat)
            assert same(single.decode(data, shapes), y_hat)


def test_callers_settings_do_not_reach_the_exact_part(coder):
    y = latents([(6, 6)], 2)
    data, y_hat = coder.encode(y)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert same(coder.decode(data, [(6, 6)]), y_hat)
            assert coder.encode(y)[0] == data
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_any_grouping_gives_the_same_latents(coder):
    y = latents(RAGGED, 4)
    _, together = coder.encode(y)
    for cuts in ([1, 2, 3], [1] * 6, [4, 2]):
        at, parts = 0, []
        for size in cuts:
            data, y_hat = coder.encode(y[at : at + size])
            assert same(coder.decode(data, RAGGED[at : at + size]), y_hat)
            parts += y_hat
            at += size
        assert same(parts, together)
    order = [3, 5, 0, 2, 1, 4]
    _, shuffled = coder.encode([y[i] for i in order])
    assert same(shuffled, [together[i] for i in order])


def test_strips_of_any_size_give_the_same_stream(coder, monkeypatch):
    y = latents([(16, 16), (16, 16), (3, 30)], 4)
    data, _ = coder.encode(y)
    for strip in (1, 7, 50):
        monkeypatch.setattr(entropy, "STRIP", strip)
        assert coder.encode(y)[0] == data


def test_several_threads_share_a_coder(coder):
    files = [(*coder.encode(latents([(5, 6)], seed)),) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda file: coder.decode(file[0], [(5, 6)]), files))
    assert all(same(result, y_hat) for result, (_, y_hat) in zip(results, files, strict=True))


# --- Against integers -----------------------------------------------------------------------------------


def test_the_coder_equals_int64_position_by_position(tiny_model, coder, monkeypatch):
    """Means and levels, one position after the other in raster order, against the wavefront."""
    model, M = tiny_model, 12
    shapes = [(6, 5), (3, 7)]
    y = latents(shapes, 5)
    levels = []
    write = write_residuals
    monkeypatch.setattr(entropy, "write_residuals", lambda w, k, level: (levels.append(level), write(w, k, level)))
    _, y_hat = coder.encode(y)
    steps = plan(shapes)
    found = np.full((math.prod(steps.grid), M), -1)
    for place, level in zip(steps.indices, levels, strict=True):
        found[place.numpy()] = level.reshape(-1, M)
    found = found.reshape(*steps.grid, M)

    median = coder.tables["z_median"].numpy().astype(np.int64)
    taps = on_grid(model.context_prediction.weight, WEIGHT_BITS)
    taps[:, :, 2, 2:] = taps[:, :, 3:] = 0
    bias = on_grid(model.context_prediction.bias, WEIGHT_BITS + ACTIVATION_BITS)
    layers = [
        (
            on_grid(model.entropy_parameters[i].weight[:, :, 0, 0], WEIGHT_BITS),
            on_grid(model.entropy_parameters[i].bias, WEIGHT_BITS + ACTIVATION_BITS),
        )
        for i in (0, 2, 4)
    ]
    for tile, (values, shape) in enumerate(zip(y, shapes, strict=True)):
        with torch.inference_mode():
            z = torch.round(model.h_a(values[None])[0] - torch.from_numpy(median / 64).float()[:, None, None])
        z = np.clip(z.numpy().astype(np.int64) * 64 + median[:, None, None], -LIMIT, LIMIT)
        hyper = reference_h_s(model.h_s, z)[:, : shape[0], : shape[1]]
        done = np.zeros((M, shape[0] + 4, shape[1] + 4), np.int64)
        for r, c in itertools.product(*map(range, shape)):
            around = np.clip(done[:, r : r + 5, c : c + 5], -LIMIT, LIMIT)
            context = activation(np.einsum("oiuv,iuv->o", taps, around) + bias, False)
            x = activation(layers[0][0] @ np.concatenate((hyper[:, r, c], context)) + layers[0][1], True)
            x = activation(layers[1][0] @ x + layers[1][1], True)
            sums = layers[2][0] @ x + layers[2][1]
            level = [sum(threshold < int(s) for threshold in scale_thresholds()) for s in sums[:M]]
            assert found[tile, r, c].tolist() == level
            mean = activation(sums[M:], False)
            k = np.rint((values[:, r, c].double().numpy() * 64 - mean) / 64).astype(np.int64)
            done[:, r + 2, c + 2] = k * 64 + mean
        assert np.array_equal(done[:, 2:-2, 2:-2] / 64, y_hat[tile].double().numpy())
    assert len(np.unique(found)) > 5


def test_coarse_float32_is_noticed(tiny_model, monkeypatch):
    """Where float32 products are not exact, the coder takes float64 and writes the same stream."""
    y = latents(RAGGED, 1)
    expected, _ = EntropyCoder(tiny_model, dtype=torch.float64).encode(y)
    monkeypatch.setattr(integers, "_multiplier", lambda weight: lambda x: (x.bfloat16() @ weight.bfloat16()).float())
    coarse = EntropyCoder(tiny_model, dtype=torch.float32)
    assert coarse.dtype == torch.float64
    assert coarse.encode(y)[0] == expected


def test_a_build_without_onednn_writes_the_same_stream(tiny_model, monkeypatch):
    y = latents(RAGGED, 1)
    expected, _ = EntropyCoder(tiny_model).encode(y)
    monkeypatch.delattr(torch.ops.mkldnn, "_reorder_linear_weight", raising=False)
    monkeypatch.setattr(type(torch.ops.mkldnn), "__getattr__", lambda *_: (_ for _ in ()).throw(AttributeError))
    assert EntropyCoder(tiny_model).encode(y)[0] == expected


# --- Tables ---------------------------------------------------------------------------------------------


def test_tables_without_mass_still_code_every_value(tiny_model):
    tables = {name: table.clone() for name, table in hyper_tables(tiny_model).items()}
    tables["z_frequencies"].zero_()
    tables["z_start"].fill_(MAX_SYMBOL)
    coder = EntropyCoder(tiny_model, tables)
    data, y_hat = coder.encode(latents([(7, 7)], 0, 500))
    assert same(coder.decode(data, [(7, 7)]), y_hat)


# --- Against CompressAI ---------------------------------------------------------------------------------


class Keep(nn.Module):
    """Passes its input on and remembers it."""

    def forward(self, x):
        self.seen = x.clone()
        return x


@pytest.fixture(scope="module")
def oracle(tiny_model):
    model = compressai(tiny_model)
    model.g_a, model.g_s = Keep(), Keep()
    return model


def test_latents_are_those_of_compressais_own_compress_and_decompress(oracle, coder):
    y = latents([(8, 12)], 7)
    with torch.inference_mode():
        coded = oracle.compress(y[0][None].clone())
        oracle.decompress(coded["strings"], coded["shape"])
    theirs = oracle.g_s.seen[0]
    data, (ours,) = coder.encode(y)
    # Means are on a grid of 2^-6, so a value may round to the other side now and then, and move what follows.
    error = (ours - theirs).abs()
    assert error.median() < 0.04
    assert (error < 0.1).float().mean() > 0.85
    assert error.max() < 1.1
    distortion = [float(((y_hat - y[0]) ** 2).mean()) for y_hat in (ours, theirs)]
    assert distortion[0] == pytest.approx(distortion[1], rel=0.02)
    # Given our latents as context, CompressAI's layers say the means that ours differ from by whole numbers.
    model = oracle
    with torch.inference_mode():
        z_hat, _ = model.entropy_bottleneck(model.h_a(y[0][None]))
        parameters = torch.cat((model.h_s(z_hat), model.context_prediction(ours[None])), 1)
        whole = ours - model.entropy_parameters(parameters).chunk(2, 1)[1][0]
    assert (whole - torch.round(whole)).abs().max() < 0.1
    their_bytes = sum(len(strings[0]) for strings in coded["strings"])
    # Their scales are rounded up to a level and ours to the nearest; they write two streams.
    assert 0.95 * their_bytes < len(data) < 1.01 * their_bytes


def test_bytes_are_the_models_own_estimate(tiny_model, coder):
    """Within 1 %: 64 levels instead of any scale, means and activations on a grid, and the coder itself."""
    generator = torch.Generator().manual_seed(0)
    shape = (24, 32)
    y = latents([shape], 0)[0]
    with torch.inference_mode():
        # Latents drawn from the model itself, row by row, so that the estimate is the entropy.
        z = tiny_model.h_a(y[None])
        z_hat, likelihood_z = tiny_model.entropy_bottleneck(z)
        scales, means = tiny_model.entropy_parameters(
            torch.cat((tiny_model.h_s(z_hat), tiny_model.context_prediction(torch.round(y)[None])), 1)
        ).chunk(2, 1)
        y = (means + scales.clamp_min(0.11) * torch.randn(scales.shape, generator=generator))[0]
        z_hat, likelihood_z = tiny_model.entropy_bottleneck(tiny_model.h_a(y[None]))
        data, (y_hat,) = coder.encode([y])
        context = tiny_model.context_prediction(y_hat[None])
        parameters = tiny_model.entropy_parameters(torch.cat((tiny_model.h_s(z_hat), context), 1))
        scales, means = parameters.chunk(2, 1)
        likelihood = tiny_model.gaussian_conditional._likelihood(y_hat[None].double(), scales.double(), means.double())
    bits = float(-torch.log2(likelihood.clamp_min(1e-9)).sum() - torch.log2(likelihood_z).sum())
    assert 8 * len(data) == pytest.approx(bits, rel=0.01)


# --- Damage ---------------------------------------------------------------------------------------------


def test_streams_of_noise_are_damaged_files_and_nothing_else(coder):
    rng = np.random.default_rng(0)
    refused = 0
    for size in [*range(12), *rng.integers(12, 400, 40)]:
        data = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
        try:
            result = coder.decode(data, [(3, 5), (2, 2)])
        except DamagedFile:
            refused += 1
        else:
            assert [tuple(t.shape) for t in result] == [(12, 3, 5), (12, 2, 2)]
            assert all(torch.isfinite(t).all() for t in result)
    assert refused > 20


def test_streams_for_other_shapes_or_with_more_bytes_are_refused(coder):
    data, _ = coder.encode(latents([(8, 8)], 9))
    with pytest.raises(DamagedFile):
        coder.decode(data + b"more than was written", [(8, 8)])
    with pytest.raises(DamagedFile):
        coder.decode(data, [(2, 2)])


# --- A file from another day ----------------------------------------------------------------------------


def fixed_model():
    """Weights on the grid by arithmetic alone: no random generator, no library's rounding."""
    model = build(4, 6)
    with torch.no_grad():
        for i, (_, p) in enumerate(sorted(model.named_parameters())):
            if p.dim() == 4 or (p.dim() == 1 and p.shape[0] > 0):
                n = torch.arange(p.numel(), dtype=torch.int64)
                p.copy_((((n * 7919 + i * 104_729) * 48_271 % 2_147_483_647 % 601 - 300) / 1024).reshape(p.shape))
        model.entropy_parameters[4].bias[:6] += 2
    tables = {
        "z_frequencies": torch.tensor([[1, 9, 60, 300, 60, 9, 1, 1]] * 4, dtype=torch.int32),
        "z_start": torch.full((4,), -3, dtype=torch.int32),
        "z_length": torch.full((4,), 7, dtype=torch.int32),
        "z_median": torch.tensor([5, -7, 40, 0], dtype=torch.int32),
    }
    return model.eval(), tables


GOLDEN = (
    "881276289ef810b22dd05817a5a40437091e19a09f2cec3a8af4822a5b03a1066d218886b21b7485a8a6f01bbb51028c36142091"
    "61d60921974a9a488e146c5661f878079a092df9b407c69f1377c8df6ef497ade2bb6e40e8e61ebb4e7e4a5eb41a63d8ac09c499"
    "0839514df0f7a1600f384d9c4029bf335bca04031acbe6de162e5f6aaa39d4e6ed8343b10b763af48478bfab213ba76ce6bd9a52"
    "b808ce628686f57036f3bd78ad808e4098f156f8adf5"
)
GOLDEN_SUM = "84bb64955e3adf8b8cfd7d90c46ab47478ffec7a846c76a3e5caa4bf93051cf6"


@pytest.mark.parametrize("step", [3, -1])
def test_a_decoder_whose_arithmetic_differs_knows_it(tiny_model, monkeypatch, step):
    """One unit in one mean, early or in the last step: no stream runs dry from that, and no image comes of it."""
    y = latents([(6, 6)], 3)
    coder = EntropyCoder(tiny_model)
    data, _ = coder.encode(y)
    calls, real = [], ContextModel.__call__
    steps = len(plan([(6, 6)]).indices)

    def disturbed(self, *arguments):
        level, mean = real(self, *arguments)
        calls.append(0)
        if len(calls) == step % steps + 1:
            mean[0, 0] += 1
        return level, mean

    monkeypatch.setattr(ContextModel, "__call__", disturbed)
    with pytest.raises(DamagedFile):
        coder.decode(data, [(6, 6)])
    assert calls


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_stream_written_long_ago_decodes_to_the_same_latents(dtype):
    """Fails when a change here, in torch, NumPy or constriction would make existing files unreadable."""
    y_hat = EntropyCoder(*fixed_model(), dtype).decode(bytes.fromhex(GOLDEN), [(5, 6), (3, 2)])
    units = np.concatenate([np.rint(t.double().numpy() * 64).ravel() for t in y_hat]).astype("<i4")
    assert hashlib.sha256(units.tobytes()).hexdigest() == GOLDEN_SUM
