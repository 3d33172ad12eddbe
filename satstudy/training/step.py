"""What learns: a model, its average over the steps and the optimizers, and one step of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pytorch_optimizer import SOAP
from torch import Tensor

from satstudy.codecs.mbt2018.model import HYPER_STRIDE, LATENT_STRIDE, Model, build
from satstudy.core.errors import SatstudyError
from satstudy.core.hardware import fast_bf16, reduced_precision_matmul
from satstudy.training.config import TrainingConfig, learning_rate
from satstudy.training.processes import Process


def noise(shape: tuple[int, ...], seed: int, step: int, kind: int, process: Process) -> Tensor:
    """Uniform in [−0.5, 0.5) for this process's share of the global batch."""
    share = shape[0]
    generator = np.random.default_rng([seed, step, kind, 1 << 20])
    everything = generator.random((share * process.world, *shape[1:]), dtype=np.float32)
    mine = everything[process.rank * share : (process.rank + 1) * share]
    return torch.from_numpy(mine - np.float32(0.5)).to(process.device)


class Learner:
    """A model in training, on one of the processes that share its batches.

    Parameters
    ----------
    model : where it starts; its weights are changed

    Attributes
    ----------
    average : name → moving average of the parameter, which is what a run keeps
    precision : of the transforms' activations, `torch.bfloat16` or `torch.float32`
    """

    def __init__(self, config: TrainingConfig, model: Model, process: Process):
        self.config, self.process = config, process
        self.model: Model = model.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
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
        bf16 = wants == "bf16" or (wants == "auto" and fast_bf16(process.device))
        self.precision = torch.bfloat16 if bf16 else torch.float32

    def learn(self, x: Tensor, step: int) -> tuple[float, float, float]:
        """Take step `step` on this process's share of the batch: (loss, bpp, PSNR in dB) of the whole batch.

        Parameters
        ----------
        x : float32 (batch, 3, height, width) in [0, 1]

        Raises
        ------
        SatstudyError
            The gradient is not finite.
        """
        config, model = self.config, self.model
        for optimizer in (self.optimizer, self.auxiliary):
            optimizer.zero_grad(set_to_none=True)
        noise_y, noise_z = self._noise(x, step)
        output = model.training_pass(x, noise_y, noise_z, self.precision, config.context_passes)
        loss = model.loss(output, x, config.lam)
        loss.total.backward()  # type: ignore[no-untyped-call]
        main = model.main_parameters()
        self.process.average([p.grad for p in main if p.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(main, config.clip)
        if not torch.isfinite(norm):
            raise SatstudyError(f"The loss is no longer finite at step {step}: lower lr (now {config.lr}).")
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        with reduced_precision_matmul(self.precision == torch.bfloat16):
            self.optimizer.step()
        auxiliary = model.aux_loss()
        auxiliary.backward()
        self.auxiliary.step()
        # The average starts as a plain mean, so that it forgets the first steps soon.
        decay = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            averages, current = list(self.average.values()), tuple(model.parameters())
            torch._foreach_lerp_(averages, current, 1 - decay)
        figures = torch.stack([loss.total.detach(), loss.bpp.detach(), loss.mse.detach()])
        self.process.average([figures])
        total, bpp, mse = figures.tolist()
        return total, bpp, -10 * math.log10(mse)

    def _noise(self, x: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """What stands for the quantization of y and of z."""
        b, _, h, w = x.shape
        rows, columns = h // LATENT_STRIDE, w // LATENT_STRIDE
        shape_y = (b, self.model.M, rows, columns)
        shape_z = (b, self.model.N, rows // HYPER_STRIDE, columns // HYPER_STRIDE)
        seed = self.config.seed
        return noise(shape_y, seed, step, 0, self.process), noise(shape_z, seed, step, 1, self.process)

    def averaged(self) -> Model:
        """A copy in evaluation mode with the averaged weights; quantiles set by bisection."""
        model = build(self.model.N, self.model.M)
        torch.nn.Module.load_state_dict(model, {k: v.cpu() for k, v in self.average.items()}, strict=False)
        # Bisection is exact where the auxiliary loss has not converged yet.
        model.entropy_bottleneck._update_quantiles()
        return model.eval()

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on."""
        return {
            "model": self.model.weights(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "auxiliary": self.auxiliary.state_dict(),
        }

    def fits(self, state: dict[str, Any]) -> bool:
        """Whether a `state` is of a model of this size."""
        mine, theirs = ({name: t.shape for name, t in m.items()} for m in (self.model.weights(), state["model"]))
        return mine == theirs

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        torch.nn.Module.load_state_dict(self.model, state["model"], strict=False)
        for name, tensor in state["average"].items():
            self.average[name].copy_(tensor)
        for optimizer, saved in ((self.optimizer, state["optimizer"]), (self.auxiliary, state["auxiliary"])):
            optimizer.load_state_dict(saved)
            self._place_lists(optimizer)

    def _place_lists(self, optimizer: torch.optim.Optimizer) -> None:
        # torch's load_state_dict leaves tensors inside SOAP's nested lists on the CPU.
        for state in optimizer.state.values():
            for key, value in state.items():
                if isinstance(value, list):
                    state[key] = [v.to(self.process.device) if isinstance(v, Tensor) else v for v in value]
