"""The transforms in use equal those of the model, and a halo of two latents is enough."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.codecs.coding.engine import padded
from satstudy.codecs.mbt2018.transforms import HALO, FoldedGDN, Transforms

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def transforms(tiny_model):
    return Transforms(tiny_model)


def test_analysis_and_synthesis_are_the_models_own(tiny_model, transforms, picture):
    pixels = torch.from_numpy(np.stack([picture(64, 96, seed) for seed in range(2)]))
    with torch.inference_mode():
        x = pixels.permute(0, 3, 1, 2).float() / 255
        y = tiny_model.g_a(x)
        x_hat = tiny_model.g_s(y).clamp(0, 1) * 255
    found = transforms.analysis(pixels)
    assert found.shape == (2, 12, 4, 6)
    assert torch.allclose(found, y, atol=1e-5 * float(y.abs().max()))
    image = transforms.synthesis(y)
    assert image.shape == (2, 64, 96, 3)
    assert torch.allclose(image.permute(0, 3, 1, 2), x_hat, atol=1e-2)
    assert float(image.min()) >= 0
    assert float(image.max()) <= 255


def test_inputs_are_left_as_they_were(transforms, picture):
    pixels, y = torch.from_numpy(picture(32, 32)[None]), torch.randn(1, 12, 2, 2)
    before = pixels.clone(), y.clone()
    transforms.analysis(pixels)
    transforms.synthesis(y)
    assert torch.equal(pixels, before[0])
    assert torch.equal(y, before[1])


def test_the_model_is_left_as_it_was(tiny_model, picture):
    before = {name: p.clone() for name, p in tiny_model.state_dict().items()}
    Transforms(tiny_model).analysis(torch.from_numpy(picture(32, 32)[None]))
    assert all(torch.equal(p, before[name]) for name, p in tiny_model.state_dict().items())
    assert all(p.requires_grad for p in tiny_model.parameters())


@pytest.mark.parametrize("index", [1, 3, 5])
def test_the_folded_gdn_is_compressais(tiny_model, index):
    x = torch.randn(2, 8, 5, 7, generator=torch.Generator().manual_seed(index))
    for layer in (tiny_model.g_a[index], tiny_model.g_s[index]):
        with torch.inference_mode():
            assert torch.allclose(FoldedGDN(layer)(x.clone()), layer(x), rtol=1e-5, atol=1e-6)


def test_a_halo_of_two_latents_is_enough_and_one_is_not(transforms, picture):
    image = torch.from_numpy(picture(256, 256)[None])
    whole = transforms.analysis(image)
    back = transforms.synthesis(whole)
    part = transforms.analysis(image[:, 64:192, 64:192])

    def error(halo: int) -> float:
        inner = part[:, :, halo : 8 - halo, halo : 8 - halo]
        return float((inner - whole[:, :, 4 + halo : 12 - halo, 4 + halo : 12 - halo]).abs().max())

    assert error(HALO) < 1e-5 < 1e-3 < error(HALO - 1)
    part = transforms.synthesis(whole[:, :, 4:12, 4:12])

    def distance(halo: int) -> float:
        inner = part[:, 16 * halo : 128 - 16 * halo, 16 * halo : 128 - 16 * halo]
        start, end = 64 + 16 * halo, 192 - 16 * halo
        return float((inner - back[:, start:end, start:end]).abs().max())

    assert distance(HALO) < 1e-2 < distance(HALO - 1)


@given(height=st.integers(1, 70), width=st.integers(1, 70))
@settings(max_examples=30, deadline=None)
def test_padding_repeats_the_last_row_and_column(height, width):
    pixels = np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    result = padded(torch.from_numpy(pixels)).numpy()
    assert result.shape[0] % 16 == result.shape[1] % 16 == 0
    down, right = result.shape[0] - height, result.shape[1] - width
    assert 0 <= down < 16
    assert 0 <= right < 16
    assert np.array_equal(result, np.pad(pixels, [(0, down), (0, right), (0, 0)], mode="edge"))


def test_a_callers_autocast_changes_nothing(tiny_model):
    transforms = Transforms(tiny_model)
    pixels = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = transforms.analysis(pixels)
    x = transforms.synthesis(y.round())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(transforms.analysis(pixels), y)
        assert torch.equal(transforms.synthesis(y.round()), x)
