"""Training the codec: one loop, resumable, on one process or several.

Everything random in step `s` follows from `(seed, s)`: the crops and the quantization noise. What has
to be remembered is the weights, their average, the optimizer and the step, which `state.safetensors`
holds; an interrupted run therefore ends with the weights that an uninterrupted one has.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from tqdm.auto import tqdm

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.mbt2018.model import Model, build
from satstudy.core import hardware, tensor_files
from satstudy.core.errors import InputError
from satstudy.core.hardware import settle_for_training
from satstudy.core.paths import atomic, commit
from satstudy.core.types import Pixels
from satstudy.training.config import TrainingConfig, learning_rate
from satstudy.training.crops import CropSource
from satstudy.training.processes import Process
from satstudy.training.step import Learner
from satstudy.training.validation import centres, estimate


class Trainer:
    """One run: `run()` takes it from wherever it stands to the end.

    Parameters
    ----------
    config : what to do
    images : training images, as paths or `uint8 (height, width, 3)`
    validation : held-back images; their centres are coded (by estimate) every `validate_every` steps
    folder : where `metrics.csv`, `state.safetensors` and `weights.safetensors` go
    init : a model to start from; a random one of `N`, `M` otherwise
    """

    def __init__(
        self,
        config: TrainingConfig,
        images: Sequence[Path | Pixels],
        validation: Sequence[Path | Pixels],
        folder: Path | str,
        *,
        init: Model | None = None,
        N: int = 64,
        M: int = 96,
        metadata: dict[str, str] | None = None,
        device: str = "auto",
        progress: bool = True,
    ):
        self.config, self.folder, self.metadata = config, Path(folder), dict(metadata or {})
        self.process, self.progress = Process.current(device), progress
        if config.batch % self.process.world:
            raise InputError(f"batch = {config.batch} must divide among {self.process.world} processes.")
        torch.manual_seed(config.seed)
        model = build(N, M)
        if init is not None:
            model = build(init.N, init.M)
            torch.nn.Module.load_state_dict(model, init.weights(), strict=False)
        self.learner = Learner(config, model, self.process)
        self.source = CropSource(images, config.crop, config.seed)
        self.validation = centres(validation, 2 * config.crop) if validation else None
        self.step, self.seconds = 0, 0.0

    # --- State ------------------------------------------------------------------------------------------

    @property
    def _identity(self) -> str:
        return json.dumps(dataclasses.asdict(self.config), sort_keys=True)

    def _save(self) -> None:
        if self.process.first:
            self._write_state()
        if self.process.world > 1:
            dist.barrier()  # nobody resumes from the state before this one

    def _write_state(self) -> None:
        state = {
            "config": self._identity,
            "step": self.step,
            "seconds": self.seconds,
            **self.learner.state(),
        }
        save_state(self.folder / "state.safetensors", state)

    def resume(self) -> bool:
        """Take up the run in `folder` if there is one of the same configuration.

        Raises
        ------
        InputError
            The folder holds a run of another configuration.
        """
        path = self.folder / "state.safetensors"
        if not path.exists():
            return False
        state = load_state(path)
        if state["config"] != self._identity or not self.learner.fits(state):
            raise InputError(
                f"{self.folder} holds a run with another configuration: choose another folder, or remove it."
            )
        self.learner.restore(state)
        self.step, self.seconds = state["step"], state["seconds"]
        return True

    # --- Steps ------------------------------------------------------------------------------------------

    def validate(self) -> tuple[float, float, float]:
        """(loss, bpp, PSNR in dB) of the averaged weights on the held-back images: an estimate, not a rate."""
        assert self.validation is not None
        model = self.learner.averaged().to(self.process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return estimate(model, self.validation, self.config.lam, self.config.context_passes)

    # --- The run ----------------------------------------------------------------------------------------

    def _log(self, path: Path, rows: list[dict[str, Any]]) -> None:
        if self.process.first:
            append_log(path, rows)

    def steps(self) -> Iterator[tuple[float, float, float]]:
        """Train step by step; yields (loss, bpp, PSNR in dB) of each batch."""
        config, process = self.config, self.process
        waiting = self.source.prefetch(self.step, config.batch, process.rank, process.world)
        while self.step < config.steps:
            started = time.perf_counter()
            x = waiting.result()
            if self.step + 1 < config.steps:
                waiting = self.source.prefetch(self.step + 1, config.batch, process.rank, process.world)
            x = x.to(process.device, non_blocking=True)
            figures = self.learner.learn(x, self.step)
            self.step += 1
            self.seconds += time.perf_counter() - started
            yield figures

    def run(self, until: int | None = None, on_validation: Callable[[int, float], None] | None = None) -> Path | None:
        """Train to the end (or to step `until`), logging, validating and saving on the way.

        Returns
        -------
        The path of the final weights; None when stopped at `until`.
        """
        config = self.config
        finished = self.folder / "weights.safetensors"
        settle_for_training()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        log = self.folder / "metrics.csv"
        if self.process.first:
            truncate_log(log, self.step)
        rows: list[dict[str, Any]] = []
        window: list[tuple[float, float, float]] = []
        bar = tqdm(
            total=config.steps,
            initial=self.step,
            desc=f"train λ={config.lam:g}",
            unit="step",
            disable=not (self.progress and self.process.first),
            mininterval=1.0,
        )
        with hardware.deferred_interrupts() as interrupted:
            for figures in self.steps():
                window.append(figures)
                done = self.step == config.steps
                if self.step % config.log_every == 0 or done:
                    loss, bpp, psnr = np.mean(window, axis=0)
                    window.clear()
                    rows.append(self._row("train", loss, bpp, psnr))
                    bar.set_postfix(loss=f"{loss:.3f}", bpp=f"{bpp:.3f}", psnr=f"{psnr:.2f}", refresh=False)
                if self.validation is not None and (self.step % config.validate_every == 0 or done):
                    loss, bpp, psnr = self.validate()
                    rows.append(self._row("validation", loss, bpp, psnr))
                    if on_validation:
                        on_validation(self.step, loss)
                if self.step % config.save_every == 0 or done or self.step == until:
                    self._log(log, rows)
                    rows.clear()
                    self._save()
                bar.update()
                # Processes hear of an interrupt at different steps and must leave at the same one.
                if self.process.agree(bool(interrupted)):
                    self._log(log, rows)
                    self._save()
                    bar.close()
                    raise KeyboardInterrupt(f"stopped at step {self.step}; the same call goes on from there")
                if self.step == until and not done:
                    bar.close()
                    return None
        bar.close()
        if self.process.first:
            checkpoint.save(finished, self.learner.averaged(), self.describe())
        return finished

    def _row(self, split: str, loss: float, bpp: float, psnr: float) -> dict[str, Any]:
        return {
            "step": self.step,
            "split": split,
            "loss": f"{loss:.5f}",
            "bpp": f"{bpp:.5f}",
            "psnr": f"{psnr:.3f}",
            "lr": f"{learning_rate(self.config, self.step - 1):.3e}",
            "seconds": f"{self.seconds:.1f}",
        }

    def describe(self) -> dict[str, str]:
        """Metadata of the weights as they stand."""
        config = self.config
        return {
            **self.metadata,
            "arch": "JointAutoregressiveHierarchicalPriors",
            "N": str(self.learner.model.N),
            "M": str(self.learner.model.M),
            "lam": repr(config.lam),
            "steps": str(self.step),
            "seed": str(config.seed),
            "config": self._identity,
            "precision": str(self.learner.precision).removeprefix("torch."),
            "seconds": f"{self.seconds:.0f}",
            "commit": commit(),
            "torch": torch.__version__,
        }


def _dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether these strides place the elements one beside the other, in whatever order of dimensions."""
    if len(shape) != len(stride):
        return False
    if 0 in shape:
        return all(step >= 0 for step in stride)
    expected = 1
    for step, size in sorted((step, size) for step, size in zip(stride, shape, strict=True) if size > 1):
        if step != expected:
            return False
        expected *= size
    # The strides of dimensions of one element move nothing, but are kept: some kernels look at them.
    return all(step >= 0 for step in stride)


def save_state(path: Path | str, state: Any) -> None:
    """Write a nest of dicts, lists, tensors and plain values; dict keys may be text or integers."""
    tensors: dict[str, Tensor] = {}

    def flatten(value: Any) -> Any:
        if isinstance(value, Tensor):
            # Strides are part of the state: SOAP's bases lie in columns and convolutions in channels-last,
            # and a product over another layout differs in its last bit.
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().contiguous().clone()
            dense = value if _dense(value.shape, value.stride()) else tensors[name]
            return {"tensor": name, "stride": list(dense.stride())}
        if isinstance(value, dict):
            return {"dict": [[key, flatten(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return {"list": [flatten(item) for item in value]}
        return {"value": value}

    tree = flatten(state)
    tensor_files.write(path, tensors, {"tree": json.dumps(tree)})


def load_state(path: Path | str) -> Any:
    """What `save` wrote.

    Raises
    ------
    InputError
        Damaged, or not written by `save`.
    """
    tensors, text = tensor_files.read(path)

    def build(node: dict[str, Any]) -> Any:
        if "tensor" in node:
            tensor = tensors[node["tensor"]]
            stride = node["stride"]
            if not _dense(tensor.shape, stride):
                raise ValueError(f"strides {stride} for {tuple(tensor.shape)}")
            return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
        if "dict" in node:
            return {key: build(item) for key, item in node["dict"]}
        if "list" in node:
            return [build(item) for item in node["list"]]
        return node["value"]

    try:
        return build(json.loads(text["tree"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no training state ({error}): remove it to start afresh.") from None


CSV_FIELDS = ("step", "split", "loss", "bpp", "psnr", "lr", "seconds")


def append_log(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows, with a header where the file is new."""
    if not rows:
        return
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, CSV_FIELDS)
        if fresh:
            writer.writeheader()
        writer.writerows(rows)


def truncate_log(path: Path, step: int) -> None:
    """Drop what an interrupted run logged after its last saved state, at `step`."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        # A row cut short by a kill belongs to a step after the saved state, whatever its digits say.
        whole = (row for row in csv.DictReader(file) if None not in row.values() and row["step"].isdigit())
        rows = [row for row in whole if int(row["step"]) <= step]
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, CSV_FIELDS)
        writer.writeheader()
        writer.writerows(rows)
