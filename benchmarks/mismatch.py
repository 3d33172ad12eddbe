"""Patches encoded under one setting and decoded under another: how many differ. The bar is none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
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
    for device in devices():
        for dtype in (torch.float64, torch.float32):
            coders[device, dtype] = EntropyCoder(checkpoint.model, checkpoint.tables, dtype, device)
    transforms = Transforms(checkpoint.model)
    y = torch.cat([transforms.analysis(part) for part in patches(count).split(8)])
    wrong = checked = 0
    for first, others, chosen in groups(count, coders):
        group = [part.contiguous() for part in y[chosen]]
        data, y_hat = _with(first, coders, lambda coder, group=group: coder.encode(group))
        for other in others:
            shapes = [(16, 16)] * len(group)
            decoded = _with(other, coders, lambda coder, data=data, shapes=shapes: coder.decode(data, shapes))
            wrong += sum(not torch.equal(p.cpu(), q.cpu()) for p, q in zip(y_hat, decoded, strict=True))
            checked += len(group)
    _report("mismatch-paper" if paper else "mismatch", count, checked, wrong)


def every_rate(count: int = 504) -> None:
    """The same for the wavelet codec, at a random λ each: what is decoded, to the bit."""
    checkpoint = shipped_for_every_rate()
    engines: dict[Any, WaveletEngine] = {
        (device, torch.float32): WaveletEngine(checkpoint.wavelet_model, 0.013, checkpoint.tables, device)
        for device in devices()
    }
    pixels = patches(count)
    rng = np.random.default_rng(0)
    wrong = checked = 0
    for first, others, chosen in groups(count, engines):
        lam = float(np.exp(rng.uniform(np.log(LAM_MIN), np.log(LAM_MAX))))
        tiles = engines["cpu", torch.float32].at(lam).analysis(pixels[chosen])
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
    _report("mismatch-every-rate", count, checked, wrong)


def devices() -> list[str]:
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def groups(count: int, coders: Mapping[Any, Any]) -> Iterator[tuple[Any, list[Any], slice]]:
    """(encoding setting, three decoding settings, patches of one stream), until all `count` patches are dealt."""
    settings = [(*one, device) for one in SETTINGS for device in devices() if (device, one[3]) in coders]
    rng = np.random.default_rng(0)
    threads, start = torch.get_num_threads(), 0
    try:
        with tqdm(total=count, unit="patch") as bar:
            while start < count:
                first, *others = (settings[i] for i in rng.permutation(len(settings))[:4])
                chosen = slice(start, min(count, start + first[1]))
                yield first, others, chosen
                bar.update(chosen.stop - start)
                start = chosen.stop
    finally:
        torch.set_num_threads(threads)


def _report(name: str, count: int, checked: int, wrong: int) -> None:
    figures = {"patches": count, "decodings": checked, "mismatches": wrong, "devices": ", ".join(devices())}
    save(name, figures)
    if wrong:
        raise SystemExit(1)


def _with(setting: Any, coders: Mapping[Any, Any], function: Any) -> Any:
    threads, _, onednn, dtype, device = setting
    torch.set_num_threads(threads)
    with torch.backends.mkldnn.flags(enabled=onednn):
        return function(coders[device, dtype])
