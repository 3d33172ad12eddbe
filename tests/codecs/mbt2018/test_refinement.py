"""The search for better latents: it must gain in real files, decode as ever, and be repeatable."""

import numpy as np
import pytest
import torch

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.codec import MAX_REFINE, LearnedCodec
from satstudy.codecs.mbt2018 import refinement
from satstudy.codecs.mbt2018.transforms import Transforms
from satstudy.core.errors import InputError
from satstudy.metrics.quality import psnr

pytestmark = pytest.mark.usefixtures("one_thread")
LAM = 0.013


@pytest.fixture(scope="module")
def trained():
    return checkpoint.load(checkpoint.shipped("overhead")[LAM])


def cost(image, data, codec):
    """What the model was trained to lower, in bits a pixel, from the file's bytes and its decoded image."""
    pixels = image.shape[0] * image.shape[1]
    return LAM * 255**2 * 10 ** (-psnr(image, codec.decode(data)) / 10) + 8 * len(data) / pixels


@pytest.mark.parametrize("tiling", ["independent", "seamless"])
def test_files_become_better_and_the_plain_codec_decodes_them(trained, picture, tiling):
    image = picture(128, 192, 3)
    plain, refined = (LearnedCodec(trained, tiling, patch=128, refine=steps) for steps in (0, 12))
    before, after = plain.encode(image), refined.encode(image)
    assert cost(image, after, plain) < 0.98 * cost(image, before, plain)
    assert np.array_equal(plain.decode(after), refined.decode(after))


def test_more_steps_gain_more(trained, picture):
    image, codec = picture(128, 128, 5), LearnedCodec(trained)
    few, many = (cost(image, LearnedCodec(trained, refine=steps).encode(image), codec) for steps in (3, 30))
    assert many < few


def test_a_file_is_the_same_each_time_whatever_the_seed_outside(trained, picture):
    image = picture(64, 64, 1)
    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with torch.inference_mode(bool(seed)):
            files.append(LearnedCodec(trained, refine=3).encode(image))
    assert files[0] == files[1]
    assert trained.model.g_s[0].weight.requires_grad, "the model that was given stays as it was"


def test_latents_that_would_become_worse_stay(trained, picture, monkeypatch):
    monkeypatch.setattr(refinement, "STEP_SIZE", 50.0)  # throws latents about
    image = picture(64, 128, 2)
    assert LearnedCodec(trained, refine=2).encode(image) == LearnedCodec(trained).encode(image)


def test_an_image_gives_the_same_latents_in_any_batch(trained, picture):
    pixels = torch.from_numpy(np.stack([picture(64, 64, seed) for seed in (0, 1, 0)]))
    transforms = refinement.RefinedTransforms(trained.model, LAM, 3)
    transforms.precision = torch.float32
    y = transforms.analysis(pixels)
    for difference in (y[0] - y[2], transforms.analysis(pixels[1:2])[0] - y[1]):
        # Adam's first steps make last bits larger where a gradient is nearly 0.
        assert difference.abs().quantile(0.99) < 1e-4
        assert difference.abs().max() < 1e-2


def test_each_image_of_a_batch_is_searched_for_itself(trained, picture):
    pixels = torch.from_numpy(np.stack([picture(64, 64, seed) for seed in (0, 1)]))
    transforms = refinement.RefinedTransforms(trained.model, LAM, 8)
    transforms.precision = torch.float32
    first = transforms._cost(pixels.permute(0, 3, 1, 2) / 255, Transforms.analysis(transforms, pixels).clone())
    found = transforms._cost(pixels.permute(0, 3, 1, 2) / 255, transforms.analysis(pixels))
    assert (found < first).all()


def test_bits_of_its_estimate_are_those_of_the_file(trained, picture):
    image = picture(256, 256, 4)
    transforms = refinement.RefinedTransforms(trained.model, LAM, 1)
    with torch.no_grad():
        y = transforms.g_a(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
        total = transforms._cost(torch.from_numpy(image).permute(2, 0, 1)[None] / 255, y).item() / 256**2
    codec = LearnedCodec(trained)
    assert total == pytest.approx(cost(image, codec.encode(image), codec), rel=0.02)


@pytest.mark.parametrize("temperature", [0.5, 0.1])
def test_mixtures_lie_between_their_integers_and_fall_to_the_nearer(temperature):
    value = torch.tensor([-1.9, -0.3, 0.02, 2.4, 3.98]).repeat(1, 4000, 1)
    mixed = refinement._gumbel_round(value, temperature, torch.Generator().manual_seed(1))
    assert ((mixed >= torch.floor(value)) & (mixed <= torch.floor(value) + 1)).all()
    share = (torch.round(mixed) == torch.round(value))[0].double().mean(0)
    assert (share > 0.5).all()
    assert share[2] > 0.9, "almost certain near an integer"


def test_chance_fades():
    value = torch.full((1, 4000), 0.3)
    near = [
        (refinement._gumbel_round(value, temperature, torch.Generator().manual_seed(2)) < 0.5).double().mean()
        for temperature in (1.0, 0.3, 0.05)
    ]
    assert near[0] < near[1] < near[2]
    assert near[2] > 0.99


@pytest.mark.parametrize("steps", [-1, MAX_REFINE + 1])
def test_steps_out_of_range_are_refused(trained, steps):
    with pytest.raises(InputError, match="refine = "):
        LearnedCodec(trained, refine=steps)


def test_tables_tell_refined_files_apart(trained):
    codec = LearnedCodec(trained, refine=7)
    assert (codec.name, codec.setting) == ("mbt2018-refined", "lam=0.013 refine=7")
