"""The training loop of the codec: resumable, on one process or several.

Everything random in step `s` follows from `(seed, s)`: crops and quantization noise. The rest is the state of the
training (weights, moving average, optimizers), saved in `state.safetensors`. So an interrupted run ends with the
weights of an uninterrupted one.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from tqdm.auto import tqdm

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.mbt2018.model import Model, build
from satstudy.codecs.wavelet.config import WaveletConfig
from satstudy.codecs.wavelet.model import WaveletModel
from satstudy.core import hardware, tensor_files
from satstudy.core.errors import InputError
from satstudy.core.paths import atomic, commit
from satstudy.core.types import Pixels
from satstudy.training.config import TrainingConfig, crops_at, learning_rate
from satstudy.training.crops import CropSource
from satstudy.training.step import Process, training_state
from satstudy.training.validation import central_crops, estimated_loss

CSV_FIELDS = ("step", "split", "loss", "bpp", "psnr", "lr", "seconds")


class Trainer:
    """One run in one folder; `run` starts it or resumes it.

    Parameters
    ----------
    config : the settings
    images : training images, as paths or uint8 (height, width, 3)
    validation : validation images; the loss of their central crops is estimated every `validate_every` steps
    folder : for `metrics.csv`, `state.safetensors` and, at the end, `weights.safetensors`
    weights : how often each training image is drawn, relative to the others; equally often by default
    init : the model to start from; by default a random one: of mbt2018 with `N` and `M` channels, or the wavelet codec
        of the size `wavelet`
    metadata : stored with the weights

    Raises
    ------
    InputError
        No images, or a batch that the processes cannot share evenly.
    """

    def __init__(
        self,
        config: TrainingConfig,
        images: Sequence[Path | Pixels],
        validation: Sequence[Path | Pixels],
        folder: Path | str,
        *,
        weights: Sequence[float] | None = None,
        init: Model | WaveletModel | None = None,
        N: int = 64,
        M: int = 96,
        wavelet: WaveletConfig | None = None,
        metadata: dict[str, str] | None = None,
        device: str = "auto",
        progress: bool = True,
    ):
        self.config, self.folder, self.metadata = config, Path(folder), dict(metadata or {})
        self.process, self.progress = Process.current(device), progress
        for count in (config.batch, config.late_batch):
            if count % self.process.world:
                raise InputError(f"batch = {count} must divide among {self.process.world} processes.")
        torch.manual_seed(config.seed)
        model = copy.deepcopy(init) or (WaveletModel(wavelet) if wavelet else build(N, M))
        self.state = training_state(config, model.train(), self.process)
        self.source = CropSource(images, config.crop, config.seed, weights=weights, recolour=config.recolour)
        self.validation = central_crops(validation, 2 * config.crop) if validation else None
        self.step, self.seconds = 0, 0.0
        self._rows: list[dict[str, Any]] = []  # of metrics.csv

    # --- What is saved ------------------------------------------------------------------------------------

    @property
    def _identity(self) -> str:
        return json.dumps(dataclasses.asdict(self.config), sort_keys=True)

    def _save(self) -> None:
        if self.process.first:
            if self._rows:
                with atomic(self.folder / "metrics.csv") as path, path.open("w", newline="") as file:
                    writer = csv.DictWriter(file, CSV_FIELDS)
                    writer.writeheader()
                    writer.writerows(self._rows)
            facts = {"config": self._identity, "step": self.step, "seconds": self.seconds}
            save_state(self.folder / "state.safetensors", {**facts, **self.state.state_dict()})
        if self.process.world > 1:
            dist.barrier()  # no process resumes from the state before this one

    def resume(self) -> bool:
        """Continue the run in `folder` if there is one with the same settings.

        Raises
        ------
        InputError
            The folder holds a run with other settings.
        """
        path = self.folder / "state.safetensors"
        if not path.exists():
            return False
        state = load_state(path)
        if state["config"] != self._identity or not self.state.fits(state):
            raise InputError(
                f"{self.folder} holds a run with another configuration: choose another folder, or remove it."
            )
        self.state.load_state_dict(state)
        self.step, self.seconds = state["step"], state["seconds"]
        log = self.folder / "metrics.csv"
        if log.exists():
            with log.open(newline="") as file:
                # Rows after the saved state come again; a row that was cut short is one of them.
                whole = (row for row in csv.DictReader(file) if None not in row.values() and row["step"].isdigit())
                self._rows = [row for row in whole if int(row["step"]) <= self.step]
        return True

    def _log(self, split: str, loss: float, bpp: float, psnr: float) -> None:
        rate = f"{learning_rate(self.config, self.step - 1):.3e}"
        values = (self.step, split, f"{loss:.5f}", f"{bpp:.5f}", f"{psnr:.3f}", rate, f"{self.seconds:.1f}")
        self._rows.append(dict(zip(CSV_FIELDS, values, strict=True)))

    # --- The run ------------------------------------------------------------------------------------------

    def validate(self) -> tuple[float, float, float]:
        """(loss, bpp, PSNR in dB) of the averaged weights on the validation crops, by `estimated_loss`."""
        assert self.validation is not None
        device, lam = self.process.device, self.state.validation_lam
        model = self.state.averaged().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return estimated_loss(lambda x: self.state.estimate(model, x, lam), self.validation, lam, device)

    def steps(self) -> Iterator[tuple[float, float, float]]:
        """Train step by step; yields (loss, bpp, PSNR in dB) of each batch."""
        config, process = self.config, self.process

        def crops(step: int) -> Future[Tensor]:
            count, side = crops_at(config, step)
            return self.source.prefetch(step, count, process.rank, process.world, side)

        waiting = crops(self.step)
        while self.step < config.steps:
            started = time.perf_counter()
            x = waiting.result()
            if self.step + 1 < config.steps:
                waiting = crops(self.step + 1)
            x = x.to(process.device, non_blocking=True)
            figures = self.state.update(x, self.step)
            self.step += 1
            self.seconds += time.perf_counter() - started
            yield figures

    def run(self, until: int | None = None) -> Path | None:
        """Train to the end (or to step `until`), with logs, validation and saved states on the way.

        Returns
        -------
        The path of the final weights; None when stopped at `until`.
        """
        config = self.config
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        window: list[tuple[float, float, float]] = []
        bar = tqdm(
            total=config.steps,
            initial=self.step,
            desc="train λ=" + "–".join(f"{lam:g}" for lam in dict.fromkeys(config.lams)),
            unit="step",
            disable=not (self.progress and self.process.first),
            mininterval=1.0,
        )
        with bar, hardware.settled_for_training(), hardware.deferred_interrupts() as interrupted:
            for figures in self.steps():
                window.append(figures)
                done = self.step == config.steps
                if self.step % config.log_every == 0 or done:
                    loss, bpp, psnr = np.mean(window, axis=0)
                    window.clear()
                    self._log("train", loss, bpp, psnr)
                    bar.set_postfix(loss=f"{loss:.3f}", bpp=f"{bpp:.3f}", psnr=f"{psnr:.2f}", refresh=False)
                due = self.step % config.validate_every == 0 or done
                if due and self.validation is not None:
                    self._log("validation", *self.validate())
                bar.update()
                # Processes hear of an interrupt at different steps and must stop at the same one.
                stop = self.process.any(bool(interrupted))
                if due or stop or self.step == until:
                    self._save()
                if stop:
                    raise KeyboardInterrupt(f"stopped at step {self.step}; the same call goes on from there")
                if self.step == until and not done:
                    return None
        finished = self.folder / "weights.safetensors"
        if self.process.first:
            model = self.state.averaged()
            tables = self.state.count_tables(model, self._crops_after_the_end, self.progress)
            checkpoint.save(finished, model, self.describe(), tables)
        self.process.any(False)  # the others go on, to read them, when they are written
        return finished

    def _crops_after_the_end(self, i: int) -> Tensor:
        """Batch `i` of crops that no step has seen."""
        step = self.config.steps + i
        count, side = crops_at(self.config, step)
        return self.source.batch(step, count, crop=side)

    def describe(self) -> dict[str, str]:
        """Metadata of the weights as they stand."""
        config = self.config
        return {
            **self.metadata,
            **self.state.describe(),
            "steps": str(self.step),
            "seed": str(config.seed),
            "config": self._identity,
            "precision": str(self.state.precision).removeprefix("torch."),
            "seconds": f"{self.seconds:.0f}",
            "commit": commit(),
            "torch": torch.__version__,
        }


def _without_gaps(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether a tensor with these strides fills its memory."""
    extent = 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    return 0 in shape or extent == math.prod(shape)


def save_state(path: Path | str, state: Any) -> None:
    """Write nested dicts, lists, tensors and plain values as safetensors; keys are text or integers.

    Strides are kept: SOAP's bases lie in columns and convolutions in channels-last, and a product over another layout
    differs in its last bit.
    """
    tensors: dict[str, Tensor] = {}

    def flatten(value: Any) -> Any:
        if isinstance(value, Tensor):
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().contiguous().clone()
            whole = value if _without_gaps(value.shape, value.stride()) else tensors[name]
            return {"tensor": name, "stride": list(whole.stride())}
        if isinstance(value, dict):
            return {"dict": [[key, flatten(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return {"list": [flatten(item) for item in value]}
        return {"value": value}

    tree = flatten(state)
    tensor_files.write(path, tensors, {"tree": json.dumps(tree)})


def load_state(path: Path | str) -> Any:
    """What `save_state` wrote.

    Raises
    ------
    InputError
        Damaged, or not written by `save_state`.
    """
    tensors, text = tensor_files.read(path)

    def restore(node: dict[str, Any]) -> Any:
        if "tensor" in node:
            tensor, stride = tensors[node["tensor"]], node["stride"]
            if not _without_gaps(tensor.shape, stride):
                raise ValueError(f"strides {stride} for {tuple(tensor.shape)}")
            return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
        if "dict" in node:
            return {key: restore(item) for key, item in node["dict"]}
        if "list" in node:
            return [restore(item) for item in node["list"]]
        return node["value"]

    try:
        return restore(json.loads(text["tree"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is no training state ({error}): remove it to start afresh.") from None
