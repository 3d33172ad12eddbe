"""Crops are a function of seed and step, whoever asks for them."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.core.errors import InputError
from satstudy.data.images import write_image
from satstudy.training import crops
from satstudy.training.crops import CropSource, recoloured


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_batch_is_float_in_the_unit_interval_and_channels_last():
    batch = CropSource([noise(40, 50)], 16, seed=1).batch(0, 4)
    assert batch.shape == (4, 3, 16, 16)
    assert batch.dtype == torch.float32
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_seed_and_step_decide_alone():
    images = [noise(40, 50, i) for i in range(3)]
    one, two = CropSource(images, 16, seed=1), CropSource(images, 16, seed=1)
    one.batch(0, 4)  # what was asked before does not matter
    assert torch.equal(one.batch(7, 4), two.batch(7, 4))
    assert torch.equal(one.prefetch(7, 4).result(), two.batch(7, 4))
    assert not torch.equal(one.batch(8, 4), two.batch(7, 4))
    assert not torch.equal(CropSource(images, 16, seed=2).batch(7, 4), two.batch(7, 4))


@given(size=st.integers(1, 9), world=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_the_shares_of_all_processes_are_the_global_batch(size, world):
    source = CropSource([noise(20, 20)], 8, seed=0)
    shares = [source.batch(3, size * world, rank, world) for rank in range(world)]
    assert torch.equal(torch.cat(shares), source.batch(3, size * world))
    assert {len(share) for share in shares} == {size}


def test_each_crop_is_a_piece_of_an_image_turned_or_mirrored():
    image = noise(12, 14)
    pieces = {
        np.rot90(image[y : y + 8, x : x + 8], turn)[:, ::step].tobytes()
        for y in range(5)
        for x in range(7)
        for turn in range(4)
        for step in (1, -1)
    }
    batch = CropSource([image], 8, seed=0).batch(0, 64)
    got = [(crop.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy().tobytes() for crop in batch]
    assert set(got) <= pieces
    assert len(set(got)) > 30  # and not always the same piece


@pytest.mark.parametrize(("height", "width"), [(5, 40), (40, 5), (1, 1), (16, 16)])
def test_images_smaller_than_a_crop_are_mirrored_up_to_it(height, width):
    image = noise(height, width)
    batch = CropSource([image], 16, seed=0).batch(0, 3)
    assert batch.shape == (3, 3, 16, 16)
    colours = {tuple(c) for c in image.reshape(-1, 3)}
    assert {tuple(c) for c in (batch * 255).round().to(torch.uint8).permute(0, 2, 3, 1).reshape(-1, 3).tolist()} <= {
        tuple(int(v) for v in c) for c in colours
    }


def test_paths_and_arrays_give_the_same_crops(tmp_path):
    images = [noise(30, 31, i) for i in range(3)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        write_image(path, image)
    assert torch.equal(CropSource(paths, 8, seed=5).batch(2, 6), CropSource(images, 8, seed=5).batch(2, 6))


def test_the_cache_stays_within_its_bytes_and_one_image_always_fits(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for i, path in enumerate(paths):
        write_image(path, noise(16, 16, i))
    reads = []
    monkeypatch.setattr(crops, "read_image", lambda path: reads.append(path) or noise(16, 16))
    source = CropSource(paths, 8, seed=0, cache_bytes=2 * 16 * 16 * 3)
    for index in (0, 1, 0, 2, 0, 1):
        source._image(index)
    assert [p.stem for p in reads] == ["0", "1", "2", "1"]  # 1 left as the least recently used, and came back
    tiny = CropSource(paths, 8, seed=0, cache_bytes=1)
    tiny._image(0)
    reads.clear()
    tiny._image(0)
    assert reads == []


def test_threads_that_read_one_image_at_once_count_it_once(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", noise(16, 16))
    together = threading.Barrier(2)

    def slow(path):
        together.wait(timeout=20)
        return noise(16, 16)

    monkeypatch.setattr(crops, "read_image", slow)
    source = CropSource([tmp_path / "a.png"], 8, seed=0)
    waiting = [source.prefetch(step, 1) for step in range(2)]
    assert torch.equal(waiting[0].result(), source.batch(0, 1))
    waiting[1].result()
    assert source._cached == 16 * 16 * 3


def test_no_image_is_an_error():
    with pytest.raises(InputError, match="no image to train on"):
        CropSource([], 8, seed=0)


def test_images_are_drawn_by_their_weights():
    images = [np.full((64, 64, 3), value, np.uint8) for value in (10, 20, 30)]
    source = CropSource(images, 64, seed=0, weights=[1, 0, 3])
    drawn = torch.cat([source.batch(step, 8)[:, 0, 0, 0] for step in range(100)]).mul(255).round()
    assert set(drawn.tolist()) == {10, 30}
    assert 0.7 < float((drawn == 30).float().mean()) < 0.8
    with pytest.raises(InputError, match="weight"):
        CropSource(images, 64, seed=0, weights=[1, 2])


def test_half_of_the_crops_change_their_colours():
    image = noise(64, 64)
    source = CropSource([image], 64, seed=0, recolour=True)
    changed = 0
    for step in range(50):
        for crop in source.batch(step, 4):
            counts = np.bincount((crop.mul(255).round().byte().numpy()).ravel(), minlength=256)
            changed += not np.array_equal(counts, np.bincount(image.ravel(), minlength=256))
    assert 70 < changed < 130


def test_recolouring_keeps_the_order_of_grey_values():
    """Gamma, gain and offset are monotone in each band."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    for seed in range(20):
        found = recoloured(ramp, np.random.default_rng(seed))
        assert found.dtype == np.uint8
        assert (np.diff(found.astype(int), axis=1) >= 0).all()
        assert not np.array_equal(found, ramp)
