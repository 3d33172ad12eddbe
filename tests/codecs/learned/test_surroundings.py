"""A codec gives the same bytes whatever the process around it is set to."""

import copy
import os
import pickle
import signal

import numpy as np
import pytest
import torch

from satstudy.codecs import AVIF, JPEG, JPEG2000, WebP
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core.errors import InputError


@pytest.fixture
def tiny(checkpoint):
    return LearnedCodec(checkpoint, "blend", 64, 8, "ramp")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("device", [None, "meta"])
def test_pytorchs_defaults_change_nothing(tiny, picture, dtype, device):
    image = picture(70, 90)
    data, pixels = tiny.encode(image), tiny.decode(tiny.encode(image))
    try:
        torch.set_default_dtype(dtype)
        torch.set_default_device(device)
        found = [tiny.encode(image), tiny.decode(data)]
        fresh = LearnedCodec(checkpoint.load(tiny.checkpoint.path), "blend", 64, 8, "ramp")
        found += [fresh.encode(image), fresh.decode(data)]
        refined = LearnedCodec(fresh.checkpoint, patch=64, refine=1).encode(image)
        # What the caller does between two bands is the caller's.
        bands = fresh.bands(fresh.open(data))
        next(bands)
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert found[0] == found[2] == data
    assert np.array_equal(found[1], pixels)
    assert np.array_equal(found[3], pixels)
    assert refined == LearnedCodec(tiny.checkpoint, patch=64, refine=1).encode(image)


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda codec: pickle.loads(pickle.dumps(codec))])  # noqa: S301
def test_codecs_are_copied_and_pickled(tiny, picture, again):
    image = picture(70, 90)
    other = again(tiny)
    assert other.encode(image) == tiny.encode(image)
    assert (other.tiling, other.patch, other.overlap, other.weighting) == ("blend", 64, 8, "ramp")
    for codec in (JPEG(50), WebP(50), AVIF(50), JPEG2000(bpp=1.0)):
        assert again(codec) == codec
        assert again(codec).encode(image) == codec.encode(image)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_codes_the_same(tiny, picture):
    """Even where the parent's OpenMP has threads, which the child does not have and would wait for."""
    image = picture(600, 700)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        data = tiny.encode(image)
        child = os.fork()
        if child == 0:
            signal.alarm(120)  # a child that waits for ever ends
            os._exit(0 if tiny.encode(image) == data else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("notes", [["a list"], "text", 5, (), {1: 2}, {"a": float("nan")}, {"a": {1, 2}}, {"a": b"x"}])
def test_notes_that_no_reader_would_accept_are_refused_before_the_work(tiny, monkeypatch, notes):
    monkeypatch.setattr(type(tiny.engine), "analysis", None)
    with pytest.raises(InputError, match=r"Notes are a table|not plain JSON"):
        tiny.encode(np.zeros((32, 32, 3), np.uint8), notes)
