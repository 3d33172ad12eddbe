"""Patches encoded under one setting and decoded under another: how many differ. The bar is none."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.common import paper_sized, save, shipped
from satstudy.codecs.mbt2018.entropy import EntropyCoder
from satstudy.codecs.mbt2018.transforms import Transforms
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


def _with(setting: Any, coders: dict[Any, EntropyCoder], function: Any) -> Any:
    threads, _, onednn, dtype, device = setting
    torch.set_num_threads(threads)
    with torch.backends.mkldnn.flags(enabled=onednn):
        return function(coders[device, dtype])
