"""satstudy.training.validation: validation crops and their estimated loss."""

import math

import numpy as np
import pytest
import torch

from satstudy.data.images import write_image
from satstudy.training.validation import central_crops, estimated_loss


def test_central_crops_are_cut_from_the_middle_and_small_images_are_mirrored(tmp_path, picture):
    large, small = picture(100, 90, 1), picture(40, 64, 2)
    write_image(tmp_path / "large.png", large)
    squares = central_crops([tmp_path / "large.png", small], 64)
    assert squares.shape == (2, 3, 64, 64)
    assert squares.dtype == torch.uint8
    assert (squares[0].permute(1, 2, 0).numpy() == large[18:82, 13:77]).all()
    found = squares[1].permute(1, 2, 0).numpy()
    assert (found[:40] == small).all()
    assert (found[40:] == small[::-1][:24]).all()


@pytest.mark.parametrize("passes", [0, 4])
def test_the_estimate_is_the_mean_over_images_by_the_loss(tiny_model, picture, passes):
    squares = central_crops([picture(64, 64, seed) for seed in range(9)], 64)  # more than one batch
    estimate, device = (lambda x: tiny_model.estimate(x, passes)), torch.device("cpu")
    loss, bpp, psnr = estimated_loss(estimate, squares, 0.01, device)
    with torch.no_grad():
        bits, x_hat = tiny_model.estimate(squares.float() / 255, passes)
    error = ((x_hat * 255).round().numpy() - squares.numpy().astype(float)).reshape(9, -1)
    mse = (error**2).mean(1)
    assert bpp == pytest.approx(bits.mean().item() / 64**2, rel=1e-5)
    assert psnr == pytest.approx(np.mean(10 * np.log10(255**2 / mse)), abs=1e-3)
    assert loss == pytest.approx(0.01 * mse.mean() + bpp, rel=1e-4)
    assert math.isfinite(loss)
