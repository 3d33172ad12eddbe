"""Where an image has data: one bit a pixel, kept exactly beside pixels that are coded with loss.

A lossy codec moves the pixels that mean "no data" off their value, and the sharp edge round them costs
bits and rings into the image. So the mask is coded on its own, and what it hides is replaced, before
coding, by a smooth continuation of what it leaves.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from satstudy.core.errors import DamagedFile

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

_RAW = -zlib.MAX_WBITS  # deflate without a header and checksum of its own: the stream has one


def pack(valid: Mask | None) -> bytes:
    """The mask of a rectangle, as a stream of bits begins with it.

    Parameters
    ----------
    valid : bool (rows, columns); None where every pixel is

    Returns
    -------
    bytes
        0 where every pixel is valid. Otherwise 1 and, deflated, one bit a pixel, most significant first,
        each row filled up with zeros to whole bytes and combined by exclusive or with the row above: the
        edge of a scene differs little from row to row.
    """
    if valid is None or valid.all():
        return b"\0"
    rows = np.packbits(valid, axis=1)
    rows[1:] ^= rows[:-1].copy()
    deflate = zlib.compressobj(9, zlib.DEFLATED, _RAW)
    return b"\1" + deflate.compress(rows.tobytes()) + deflate.flush()


def split(stream: bytes, height: int, width: int) -> tuple[Pixels | None, bytes]:
    """Undo `pack` at the beginning of a stream, and give what follows.

    Returns
    -------
    rows : uint8 (height, ⌈width / 8⌉), the mask in bits for `unpack`; None where every pixel is valid
    rest : the stream behind it

    Raises
    ------
    DamagedFile
        Not exactly one mask of this size; no more memory than it takes is asked for.
    """
    if stream[:1] == b"\0":
        return None, stream[1:]
    columns = -(-width // 8)
    try:
        if stream[:1] != b"\1":
            raise ValueError
        inflate = zlib.decompressobj(_RAW)
        plain = inflate.decompress(stream[1:], height * columns + 1)  # one more, so that the end is reached
        if not inflate.eof or len(plain) != height * columns:
            raise ValueError
    except (zlib.error, ValueError):
        raise DamagedFile("The validity mask in this file is damaged: fetch or compress it again.") from None
    rows = np.frombuffer(plain, np.uint8).reshape(height, columns)
    return np.bitwise_xor.accumulate(rows, axis=0), inflate.unused_data


def unpack(rows: Pixels, top: int, bottom: int, left: int, right: int) -> Mask:
    """A part of the mask that `split` found: bool (bottom − top, right − left)."""
    first = left // 8
    bits = np.unpackbits(rows[top:bottom, first : -(-right // 8)], axis=1)
    return bits[:, left - 8 * first : right - 8 * first].astype(bool)


def fill(pixels: Pixels, valid: Mask) -> Pixels:
    """Replace pixels without data by a smooth continuation of those with.

    Means of the valid pixels over ever larger squares, interpolated back (pull-push: Gortler et al.,
    *The Lumigraph*, SIGGRAPH 1996).

    Parameters
    ----------
    pixels : uint8 (rows, columns, 3)
    valid : bool (rows, columns)
    """
    colour = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    smooth = _pull_push(colour, torch.from_numpy(valid.astype(np.float32))[None, None])
    filled: Pixels = smooth[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
    return filled


def _pull_push(colour: Tensor, valid: Tensor) -> Tensor:
    """float32 (1, 3, h, w), with `valid` 0 or 1 (1, 1, h, w); mid-grey where nothing is valid."""
    if valid.all():
        return colour
    if valid.numel() == 1:
        return torch.full_like(colour, 128)
    share = F.avg_pool2d(valid, 2, ceil_mode=True)
    mean = F.avg_pool2d(colour * valid, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = _pull_push(mean, (share > 0).float())
    return torch.where(valid > 0, colour, F.interpolate(coarse, size=valid.shape[2:], mode="bilinear"))


def impose(pixels: Pixels, valid: Mask | None, value: int) -> None:
    """Give masked pixels `value` in all bands, in place, and take it from any other pixel.

    A valid pixel that was decoded to exactly `value` in all bands moves by one level, so that a reader who
    goes by the value finds the same mask.
    """
    same = (pixels == value).all(axis=2)
    if same.any():
        pixels[same] = value - 1 if value == 255 else value + 1
    if valid is not None:
        pixels[~valid] = value
