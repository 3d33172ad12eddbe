"""Training the codec: one loop, resumable, on one process or several.

Everything random in step `s` follows from `(seed, s)`: the crops and the quantization noise. What has
to be remembered is the weights, their average, the optimizer and the step, which `state.safetensors`
holds; an interrupted run therefore ends with the weights that an uninterrupted one has.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pytorch_optimizer import SOAP
from torch import Tensor
from tqdm.auto import tqdm

from satstudy import interrupts, training_log, zoo
from satstudy.data.crops import CropSource
from satstudy.data.images import Pixels
from satstudy.errors import InputError, SatstudyError
from satstudy.held_back import centres, estimate
from satstudy.machine import fast_bf16, reduced_precision_matmul, settle_for_training
from satstudy.model import HYPER_STRIDE, LATENT_STRIDE, Model, build
from satstudy.paths import commit
from satstudy.processes import Process
from satstudy.training_config import TrainingConfig, learning_rate


def _noise(shape: tuple[int, ...], seed: int, step: int, kind: int, process: Process) -> Tensor:
    """Uniform in [−0.5, 0.5) for this process's share of the global batch."""
    share = shape[0]
    generator = np.random.default_rng([seed, step, kind, 1 << 20])
    everything = generator.random((share * process.world, *shape[1:]), dtype=np.float32)
    mine = everything[process.rank * share : (process.rank + 1) * share]
    return torch.from_numpy(mine - np.float32(0.5)).to(process.device)


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
        self.model: Model = model.to(self.process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.source = CropSource(images, config.crop, config.seed)
        self.validation = centres(validation, 2 * config.crop) if validation else None
        self.step, self.seconds = 0, 0.0
        main = self.model.main_parameters()
        if config.optimizer == "soap":
            self.optimizer: torch.optim.Optimizer = SOAP(
                main,
                lr=config.lr,
                weight_decay=0.0,
                precondition_frequency=config.precondition_frequency,
                max_precondition_dim=config.max_precondition_dim,
            )
        else:
            self.optimizer = torch.optim.Adam(main, lr=config.lr)
        self.auxiliary = torch.optim.Adam([self.model.entropy_bottleneck.quantiles], lr=config.aux_lr)
        wants = config.precision
        bf16 = wants == "bf16" or (wants == "auto" and fast_bf16(self.process.device))
        self.precision = torch.bfloat16 if bf16 else torch.float32

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
            "model": self.model.weights(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "auxiliary": self.auxiliary.state_dict(),
        }
        zoo.save_state(self.folder / "state.safetensors", state)

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
        state = zoo.load_state(path)
        shapes = [{name: t.shape for name, t in m.items()} for m in (state["model"], self.model.weights())]
        if state["config"] != self._identity or shapes[0] != shapes[1]:
            raise InputError(
                f"{self.folder} holds a run with another configuration: choose another folder, or remove it."
            )
        torch.nn.Module.load_state_dict(self.model, state["model"], strict=False)
        for name, tensor in state["average"].items():
            self.average[name].copy_(tensor)
        for optimizer, saved in ((self.optimizer, state["optimizer"]), (self.auxiliary, state["auxiliary"])):
            optimizer.load_state_dict(saved)
            self._restore_lists(optimizer, saved)
        self.step, self.seconds = state["step"], state["seconds"]
        return True

    def _restore_lists(self, optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
        # torch's load_state_dict casts tensors, also those in lists, but leaves their device on CPU inside
        # SOAP's nested lists; put every tensor where its parameter is.
        for state in optimizer.state.values():
            for key, value in state.items():
                if isinstance(value, list):
                    state[key] = [v.to(self.process.device) if isinstance(v, Tensor) else v for v in value]

    # --- Steps ------------------------------------------------------------------------------------------

    def _train_step(self, x: Tensor) -> tuple[float, float, float]:
        config, model = self.config, self.model
        b, _, h, w = x.shape
        rows, columns = h // LATENT_STRIDE, w // LATENT_STRIDE
        noise_y = _noise((b, model.M, rows, columns), config.seed, self.step, 0, self.process)
        shape_z = (b, model.N, rows // HYPER_STRIDE, columns // HYPER_STRIDE)
        noise_z = _noise(shape_z, config.seed, self.step, 1, self.process)
        for optimizer in (self.optimizer, self.auxiliary):
            optimizer.zero_grad(set_to_none=True)
        loss = model.loss(model.training_pass(x, noise_y, noise_z, self.precision), x, config.lam)
        loss.total.backward()  # type: ignore[no-untyped-call]
        main = model.main_parameters()
        self.process.average([p.grad for p in main if p.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(main, config.clip)
        if not torch.isfinite(norm):
            raise SatstudyError(f"The loss is no longer finite at step {self.step}: lower lr (now {config.lr}).")
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        with reduced_precision_matmul(self.precision == torch.bfloat16):
            self.optimizer.step()
        auxiliary = model.aux_loss()
        auxiliary.backward()
        self.auxiliary.step()
        # The average starts as a plain mean, so that it forgets the first steps soon.
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            averages, current = list(self.average.values()), list(model.parameters())
            torch._foreach_lerp_(averages, current, 1 - decay)
        figures = torch.stack([loss.total.detach(), loss.bpp.detach(), loss.mse.detach()])
        self.process.average([figures])
        total, bpp, mse = figures.tolist()
        return total, bpp, -10 * math.log10(mse)

    def averaged(self) -> Model:
        """A copy in evaluation mode with the averaged weights; quantiles set by bisection."""
        model = build(self.model.N, self.model.M)
        torch.nn.Module.load_state_dict(model, {k: v.cpu() for k, v in self.average.items()}, strict=False)
        # Bisection is exact where the auxiliary loss has not converged yet.
        model.entropy_bottleneck._update_quantiles()
        return model.eval()

    def validate(self) -> tuple[float, float, float]:
        """(loss, bpp, PSNR in dB) of the averaged weights on the held-back images: an estimate, not a rate."""
        assert self.validation is not None
        model = self.averaged().to(self.process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return estimate(model, self.validation, self.config.lam)

    # --- The run ----------------------------------------------------------------------------------------

    def _log(self, path: Path, rows: list[dict[str, Any]]) -> None:
        if self.process.first:
            training_log.append(path, rows)

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
            figures = self._train_step(x)
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
            training_log.forget_after(log, self.step)
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
        with interrupts.held_back() as interrupted:
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
            zoo.save(finished, self.averaged(), self.describe())
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
            "N": str(self.model.N),
            "M": str(self.model.M),
            "lam": repr(config.lam),
            "steps": str(self.step),
            "seed": str(config.seed),
            "config": self._identity,
            "precision": str(self.precision).removeprefix("torch."),
            "seconds": f"{self.seconds:.0f}",
            "commit": commit(),
            "torch": torch.__version__,
        }
