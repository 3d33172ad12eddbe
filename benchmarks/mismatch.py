"""Patches encoded under one setting and decoded under another: how many differ. The bar is none."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.common import paper_sized, save, shipped, shipped_for_every_rate
from satstudy.codecs.mbt2018.entropy import EntropyCoder
from satstudy.codecs.mbt2018.transforms import Transforms
from satstudy.codecs.wavelet.config import LAM_MAX, LAM_MIN, lam_index
from satstudy.codecs.wavelet.engine import WaveletEngine
from satstudy.core.errors import InputError
from satstudy.data.synthetic.scene import CATEGORIES, draw

#: (threads, patches in a stream, oneDNN, dtype)
SETTINGS = [
    (threads, group, onednn, dtype)
    for threads in (1, 2)
    for group in (1, 7, 36)
    for onednn in (True, False)
    for dtype in (torch.float64, torch.float32)
]


def patches(count: int) -> torch.Tensor:
    """uint8 (count, 256, 256, 3) from synthetic scenes of several categories."""
    pieces: list[np.ndarray] = []
    for index in itertools.count():
        name = CATEGORIES[index % len(CATEGORIES)]
        image = draw(name, index, 0, 1, (1024, 1024)).image
        for top in range(0, 1024, 256):
            pieces += [image[top : top + 256, left : left + 256] for left in range(0, 1024, 256)]
        if len(pieces) >= count:
            return torch.from_numpy(np.stack(pieces[:count]))
    raise AssertionError


def main(count: int = 1008, paper: bool = False) -> None:
    checkpoint = paper_sized() if paper else shipped()
    coders: dict[Any, EntropyCoder] = {}
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for dtype in (torch.float64, torch.float32):
            coders[device, dtype] = EntropyCoder(checkpoint.model, checkpoint.tables, dtype, device)
    transforms = Transforms(checkpoint.model)
    pixels = patches(count)
    y = torch.cat([transforms.analysis(part) for part in pixels.split(8)])
    threads = torch.get_num_threads()
    wrong = checked = 0
    settings = [(*setting, device) for setting in SETTINGS for device in devices]
    rng = np.random.default_rng(0)
    try:
        start = 0
        with tqdm(total=count, unit="patch") as bar:
            while start < count:
                # Each run of patches is encoded under one setting and decoded under all the others in turn.
                a = settings[int(rng.integers(len(settings)))]
                group = [part.contiguous() for part in y[start : start + a[1]]]
                data, y_hat = _with(a, coders, lambda coder, group=group: coder.encode(group))
                for b in rng.permutation(len(settings))[:3]:
                    shapes = [(16, 16)] * len(group)
                    decoded = _with(
                        settings[b], coders, lambda coder, data=data, shapes=shapes: coder.decode(data, shapes)
                    )
                    wrong += sum(not torch.equal(p.cpu(), q.cpu()) for p, q in zip(y_hat, decoded, strict=True))
                    checked += len(group)
                start += len(group)
                bar.update(len(group))
    finally:
        torch.set_num_threads(threads)
    name = "mismatch-paper" if paper else "mismatch"
    save(name, {"patches": count, "decodings": checked, "mismatches": wrong, "devices": ", ".join(devices)})
    if wrong:
        raise SystemExit(1)


def every_rate(count: int = 504) -> None:
    """The same for the wavelet codec, at a random λ each: what is decoded, to the bit."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    checkpoint = shipped_for_every_rate()
    engines = {
        (device, torch.float32): WaveletEngine(checkpoint.wavelet_model, 0.013, checkpoint.tables, device)
        for device in devices
    }
    settings = [(*one, device) for one in SETTINGS for device in devices if (device, one[3]) in engines]
    pixels = patches(count)
    rng = np.random.default_rng(0)
    threads, start = torch.get_num_threads(), 0
    wrong = checked = 0
    try:
        with tqdm(total=count, unit="patch") as bar:
            while start < count:
                first, *others = (settings[i] for i in rng.permutation(len(settings))[:4])
                lam = float(np.exp(rng.uniform(np.log(LAM_MIN), np.log(LAM_MAX))))
                tiles = engines["cpu", torch.float32].at(lam).analysis(pixels[start : start + first[1]])
                shapes, rate = [(16, 16)] * len(tiles), lam_index(lam)
                data = _with(first, engines, lambda engine, tiles=tiles, lam=lam: engine.at(lam).encode(tiles))
                decoded = []
                for setting in (first, *others):
                    try:
                        decoded.append(_with(setting, engines, lambda e, d=data, s=shapes, r=rate: e.decode(d, s, r)))
                    except InputError:  # the checksum of what was decoded
                        decoded.append([()] * len(tiles))
                for other in decoded[1:]:
                    pairs = zip(decoded[0], other, strict=True)
                    wrong += sum(
                        len(p) != len(q) or not all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(p, q, strict=True))
                        for p, q in pairs
                    )
                    checked += len(tiles)
                start += len(tiles)
                bar.update(len(tiles))
    finally:
        torch.set_num_threads(threads)
    figures = {"patches": count, "decodings": checked, "mismatches": wrong, "devices": ", ".join(devices)}
    save("mismatch-every-rate", figures)
    if wrong:
        raise SystemExit(1)


def _with(setting: Any, coders: dict[Any, Any], function: Any) -> Any:
    threads, _, onednn, dtype, device = setting
    torch.set_num_threads(threads)
    with torch.backends.mkldnn.flags(enabled=onednn):
        return function(coders[device, dtype])
