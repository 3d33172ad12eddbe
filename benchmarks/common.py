"""What the benchmarks share: a model of the paper's size, an image, a stopwatch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.checkpoint import Checkpoint
from satstudy.codecs.mbt2018.model import Model, build
from satstudy.core.hardware import processor
from satstudy.core.paths import BUILD, atomic, commit
from satstudy.data.synthetic.scene import draw

RESULTS = BUILD / "benchmarks"
#: The paper's example of stitching.
SIDE = 1496


def widen(model: Model, n: int, m: int) -> Model:
    """The same function with `n` times the channels N and `m` times the latents M.

    Every channel stands `n` (`m`) times, and weights are shared out among the copies of their inputs. So
    a model of the paper's size has the statistics of trained latents without being trained: each latent
    and hyper-latent is coded as many times as it has copies.
    """
    wide = build(model.N * n, model.M * m)
    source, target = model.weights(), dict(wide.named_parameters())
    with torch.no_grad():
        for name, tensor in target.items():
            value = source[name]
            if ".beta" in name or ".gamma" in name:
                # Stored as square roots of the values they stand for.
                pedestal = 2.0**-36
                value = value**2 - pedestal
            repeats = [a // b for a, b in zip(tensor.shape, value.shape, strict=True)]
            value = value.repeat(*repeats)
            if name.startswith("entropy_bottleneck"):
                pass
            elif "gamma" in name:
                value = value / repeats[1]
            elif value.dim() == 4:
                transposed = name.split(".")[0] in ("g_s", "h_s") and not name.startswith("h_s.4")
                value = value / repeats[0 if transposed else 1]
            if ".beta" in name or ".gamma" in name:
                value = torch.sqrt(value.clamp_min(0) + pedestal)
            tensor.copy_(value)
        # `entropy_parameters` takes (h_s, context) and gives (scales, means), each half repeated as a whole.
        for name in ("h_s.4", "context_prediction", "entropy_parameters.0", "entropy_parameters.4"):
            _interleave(name, source, target, m)
    return wide.eval()


def _halves(tensor: Tensor, dim: int, times: int) -> Tensor:
    """Each half of `dim` repeated on its own."""
    first, second = tensor.chunk(2, dim)
    repeat = [1] * tensor.dim()
    repeat[dim] = times
    return torch.cat((first.repeat(*repeat), second.repeat(*repeat)), dim)


def _interleave(name: str, source: dict[str, Tensor], target: dict[str, Any], m: int) -> None:
    weight, bias = source[f"{name}.weight"], source[f"{name}.bias"]
    wide = target[f"{name}.weight"]
    if name == "entropy_parameters.0":
        # Inputs are h_s's two halves and the context's two halves, repeated in that order.
        parts = [_halves(part, 1, m) for part in weight.chunk(2, 1)]
        weight = torch.cat(parts, 1) / m
        weight = weight.repeat(wide.shape[0] // weight.shape[0], 1, 1, 1)
    else:
        inputs = wide.shape[1] // weight.shape[1]
        weight = _halves(weight.repeat(1, inputs, 1, 1) / inputs, 0, m)
        target[f"{name}.bias"].copy_(_halves(bias, 0, m))
    wide.copy_(weight)


def compressai(model: Model) -> Any:
    """CompressAI's own model with these weights, ready to code."""
    from compressai.models import JointAutoregressiveHierarchicalPriors

    made = JointAutoregressiveHierarchicalPriors(model.N, model.M)
    torch.nn.Module.load_state_dict(made, model.weights(), strict=False)
    made.eval().update(force=True)
    return made


def shipped(lam: float = 0.013) -> Checkpoint:
    """The shipped weights nearest to `lam`; the default is next to the paper's 0.67 bpp."""
    found = checkpoint.shipped()
    return checkpoint.load(found[checkpoint.nearest(lam, list(found))])


def shipped_for_every_rate() -> Checkpoint:
    """The shipped weights of the wavelet codec."""
    path = checkpoint.shipped_for_every_rate()
    if path is None:
        raise SystemExit("No weights that serve every rate ship in this checkout.")
    return checkpoint.load(path)


def paper_sized() -> Checkpoint:
    """`shipped` widened to N = M = 192."""
    loaded = shipped()
    model = widen(loaded.model, 192 // loaded.model.N, 192 // loaded.model.M)
    return Checkpoint(model, {**loaded.metadata, "N": "192", "M": "192"}, {}, loaded.path)


def scene(side: int = SIDE, category: str = "parking_lot_or_garage") -> np.ndarray:
    """One synthetic scene, or a mosaic of mirrored copies where one would take minutes to draw."""
    drawn = draw(category, 0, 0, 0, (min(side, SIDE), min(side, SIDE))).image
    if side <= SIDE:
        return drawn
    pad = side - drawn.shape[0]
    return np.pad(drawn, [(0, pad), (0, pad), (0, 0)], mode="symmetric")


def best(function: Callable[[], Any], repeats: int = 3) -> float:
    """Seconds of the fastest of `repeats` calls after one to warm up: what noise has added least to."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": commit(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def save(name: str, results: dict[str, Any]) -> None:
    """Write and print one benchmark's figures."""
    path = RESULTS / f"{name}.json"
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({**results, "machine": machine()}, indent=1, default=float) + "\n")
    print(f"--- {name} ({path})")
    for key, value in results.items():
        print(f"{key:48} {value:.4g}" if isinstance(value, float) else f"{key:48} {value}")
