"""The search for better coefficients: it must gain in real files, decode as ever, and be repeatable."""

import numpy as np
import pytest
import torch

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.codecs.wavelet import refinement
from satstudy.codecs.wavelet.exact import UNIT
from satstudy.codecs.wavelet.model import Prediction, condition, likelihood
from satstudy.codecs.wavelet.subbands import Bands
from satstudy.data.synthetic.scene import draw
from satstudy.metrics.quality import psnr

pytestmark = pytest.mark.usefixtures("one_thread")
LAM = 0.01


@pytest.fixture(scope="module")
def trained():
    return checkpoint.load(checkpoint.shipped_for_every_rate())


@pytest.fixture(scope="module")
def scene():
    """An image that resembles what the weights were trained on: of noise alone there is nothing to gain."""
    return draw("interchange", 0, 0, size=(256, 256)).image


def cost(image, data, codec):
    """The loss of λ in bits a pixel, from the file's bytes and its decoded image."""
    pixels = image.shape[0] * image.shape[1]
    return codec.lam * 255**2 * 10 ** (-psnr(image, codec.decode(data)) / 10) + 8 * len(data) / pixels


@pytest.mark.parametrize(("tiling", "lam"), [("independent", 0.0025), ("seamless", 0.045)])
def test_files_become_better_and_the_plain_codec_decodes_them(trained, scene, tiling, lam):
    image = scene[:128, :192]
    plain, refined = (LearnedCodec(trained, tiling, patch=96, lam=lam, refine=steps) for steps in (0, 10))
    before, after = plain.encode(image), refined.encode(image)
    assert cost(image, after, plain) < 0.99 * cost(image, before, plain)
    assert np.array_equal(plain.decode(after), refined.decode(after))


def test_more_steps_gain_more(trained, scene):
    image, codec = scene[:96, :96], LearnedCodec(trained, lam=LAM)
    few, many = (cost(image, LearnedCodec(trained, lam=LAM, refine=steps).encode(image), codec) for steps in (2, 16))
    assert many < few


def test_a_file_is_the_same_each_time_whatever_mode_it_is_made_in(trained, picture):
    image = picture(64, 64, 1)
    files = []
    for inference in (True, False):
        with torch.inference_mode(inference):
            files.append(LearnedCodec(trained, lam=LAM, refine=2).encode(image))
    assert files[0] == files[1]
    assert next(trained.model.parameters()).requires_grad, "the model that was given stays as it was"


def test_another_lam_is_refined_too(trained, picture):
    image = picture(64, 64, 2)
    other = LearnedCodec(trained, lam=0.05, refine=2).at(LAM)
    assert other.encode(image) == LearnedCodec(trained, lam=LAM, refine=2).encode(image)
    assert (other.name, other.setting) == ("learned-refined", "lam=0.01 refine=2")


def test_coefficients_that_would_become_worse_stay(trained, picture, monkeypatch):
    monkeypatch.setattr(refinement, "STEP_SIZE", 50.0)  # throws coefficients about
    # Sides of whole cells at every level: elsewhere coding decided coefficients once more may turn one at a border.
    image = picture(256, 512, 2)
    plain, refined = (LearnedCodec(trained, "independent", patch=256, lam=LAM, refine=steps) for steps in (0, 2))
    assert refined.encode(image) == plain.encode(image), "decided coefficients are coded once more as they are"


def test_each_image_of_a_batch_is_searched_for_itself(trained, picture):
    """Only the last bits of a sum depend on the batch, and these may turn a coefficient on the edge."""
    pixels = torch.from_numpy(np.stack([picture(64, 64, seed) for seed in (0, 1)]))
    engine = LearnedCodec(trained, lam=LAM, refine=3).engine
    together, alone = engine.analysis(pixels)[1], engine.analysis(pixels[1:])[0]
    for a, b in zip(together, alone, strict=True):
        assert ((a - b).abs() > 1e-4).float().mean() < 0.02


def test_the_loss_of_mixtures_is_that_of_drawing_whole_residuals(trained):
    """The oracle: draws, with the bits of the coder's own tables."""
    engine = LearnedCodec(trained, lam=LAM).engine
    generator = torch.Generator().manual_seed(1)
    asked = Prediction(0, 0, torch.zeros(1, 3, 2, 2), torch.tensor([[[[-0.5, 0.0], [0.7, 1.5]]]]).expand(1, 3, 2, 2))
    y = torch.randn(1, 3, 2, 2, generator=generator) * 2
    error_bits = torch.tensor(3.0)
    mixing = refinement._Mixing(engine.coder, engine.lam_index, 0.6)
    bits, y_hat = mixing(y, asked, error_bits)
    upper = y_hat - torch.floor(y)
    assert (upper > 0).all()
    assert (upper < 1).all()
    drawn = torch.floor(y) + (torch.rand(20_000, *y.shape, generator=generator) < upper)
    table = engine.coder.table_of(0, asked.scales * UNIT)
    spent = engine.coder.bits(drawn, table.expand(drawn.shape), engine.lam_index)
    loss = bits + error_bits * (y_hat - y) ** 2
    expected = (spent + error_bits * (drawn - y) ** 2).mean(0)
    assert torch.allclose(loss, expected, rtol=0.03, atol=0.03)


def test_the_slope_of_bits_with_scale_is_that_of_a_normal_distribution(trained):
    engine = LearnedCodec(trained, lam=LAM).engine
    scales = torch.full((1, 3, 1, 1), 0.4, requires_grad=True)
    asked = Prediction(0, 0, torch.zeros(1, 3, 1, 1), scales)
    y = torch.tensor([1.0, -2.0, 3.0]).reshape(1, 3, 1, 1) + 1e-3
    bits, _ = refinement._Mixing(engine.coder, engine.lam_index, 0.05)(y, asked, torch.tensor(1.0))
    (slope,) = torch.autograd.grad(bits.sum(), scales)
    k, width = torch.round(y).double(), torch.exp(scales.detach().double())
    step = 1e-5
    expected = -(torch.log2(likelihood(k, width * (1 + step))) - torch.log2(likelihood(k, width * (1 - step)))) / (
        2 * step
    )
    assert torch.allclose(slope.double(), expected, rtol=1e-2)


def test_the_decision_differs_from_rounding_where_bits_are_saved(trained, picture):
    engine = LearnedCodec(trained, lam=LAM).engine
    x = torch.from_numpy(picture(256, 256)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        bands = engine.model.decompose(x, condition(torch.tensor([LAM])))
    decided, kept = engine.coder.encode([bands], engine.lam_index)
    rounded, _ = engine.coder.encode([bands], engine.lam_index, decide=False)
    assert len(decided) < len(rounded)
    again, same = engine.coder.encode([Bands(kept[0].low, kept[0].details)], engine.lam_index, decide=False)
    assert again == decided
    assert all(torch.equal(a, b) for a, b in zip(same[0].details, kept[0].details, strict=True))
