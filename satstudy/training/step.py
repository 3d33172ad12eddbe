"""One training step: the model, its moving average, the optimizers, and the processes that share a batch.

`training_state` makes the state for a model. `PaperState` (mbt2018) and `WaveletState` define the losses.
"""

from __future__ import annotations

import abc
import itertools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pytorch_optimizer import SOAP
from torch import Tensor

from satstudy.codecs.mbt2018.model import HYPER_STRIDE, LATENT_STRIDE, Loss, Model, build
from satstudy.codecs.wavelet.config import LAM_CENTRE
from satstudy.codecs.wavelet.model import WaveletModel
from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.hardware import fast_bf16, reduced_precision_matmul
from satstudy.core.loss import rate_distortion
from satstudy.training.config import TrainingConfig, learning_rate
from satstudy.training.symbol_tables import BATCHES, counted_tables

#: SOAP: steps between two updates of its eigenbases, and the largest side of a weight matrix that is preconditioned.
PRECONDITION_EVERY, LARGEST_PRECONDITIONER = 10, 256
#: Norm that gradients are clipped to, decay of the moving average of the weights, and learning rate of the quantiles of
#: the entropy bottleneck.
CLIP, AVERAGE_DECAY, QUANTILES_LR = 1.0, 0.999, 1e-3


@dataclass(frozen=True)
class Process:
    """This process among the `world` processes that train together; there is one unless `torchrun` starts more."""

    rank: int
    world: int
    device: torch.device

    @staticmethod
    def current(device: str = "auto") -> Process:
        """From the environment variables that `torchrun` sets."""
        world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        cuda = torch.cuda.is_available() and device != "cpu"
        if world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo")
        if not cuda:
            return Process(rank, world, torch.device("cpu"))
        where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(where)
        return Process(rank, world, where)

    @property
    def first(self) -> bool:
        """Whether this is the process that logs and saves."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one message."""
        if self.world == 1:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(piece.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; the same answer in all."""
        if self.world == 1:
            return flag
        votes = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(votes)
        return bool(votes > 0)


def noise(shape: tuple[int, ...], seed: int, step: int, kind: int, process: Process) -> Tensor:
    """This process's share of the noise of a batch, uniform in [−0.5, 0.5): float32 of `shape`.

    Parameters
    ----------
    kind : number of the draw within the step; other numbers give independent noise
    """
    share = shape[0]
    # The constant makes this sequence of random numbers independent of others that are drawn from (seed, step).
    generator = np.random.default_rng([seed, step, kind, 1 << 20])
    everything = generator.random((share * process.world, *shape[1:]), dtype=np.float32)
    mine = everything[process.rank * share : (process.rank + 1) * share]
    return torch.from_numpy(mine - np.float32(0.5)).to(process.device)


class TrainingState(abc.ABC):
    """What training changes from step to step: a model, the moving average of its weights, and the optimizers.

    Parameters
    ----------
    model : its weights are changed

    Attributes
    ----------
    average : name → moving average of the parameter; training saves these weights, not those of the last step
    precision : torch.bfloat16 or torch.float32, of the convolutions
    optimizers : the first one's learning rate follows `learning_rate`
    validation_lam : λ of the validation loss, and default λ of a codec with the trained weights
    """

    model: Model | WaveletModel
    validation_lam: float
    #: Coefficients of Adam's moving averages.
    betas = (0.9, 0.999)

    def __init__(self, config: TrainingConfig, model: Model | WaveletModel, process: Process):
        self.config, self.model, self.process = config, model, process
        model.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: p.detach().clone() for name, p in model.named_parameters()}
        main = self.main_parameters()
        if config.optimizer == "soap":
            optimizer: torch.optim.Optimizer = SOAP(
                main,
                lr=config.lr,
                weight_decay=0.0,
                precondition_frequency=PRECONDITION_EVERY,
                max_precondition_dim=LARGEST_PRECONDITIONER,
            )
        else:
            optimizer = torch.optim.Adam(main, lr=config.lr, betas=self.betas)
        self.optimizers = [optimizer]
        bf16 = config.precision == "bf16" or (config.precision == "auto" and fast_bf16(process.device))
        self.precision = torch.bfloat16 if bf16 else torch.float32

    def update(self, x: Tensor, step: int) -> tuple[float, float, float]:
        """Take one step on this process's share of a batch.

        Parameters
        ----------
        x : float32 (b, 3, height, width) in [0, 1], sides multiples of 64

        Returns
        -------
        (loss, bpp, PSNR in dB) of the whole batch, before the step

        Raises
        ------
        SatstudyError
            The gradient is not finite; nothing is changed.
        """
        config = self.config
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss = self.loss(x, step)
        loss.total.backward()  # type: ignore[no-untyped-call]
        main = self.main_parameters()
        self.process.average([p.grad for p in main if p.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(main, CLIP)
        if not torch.isfinite(norm):
            raise SatstudyError(f"The loss is no longer finite at step {step}: lower lr (now {config.lr}).")
        for group in self.optimizers[0].param_groups:
            group["lr"] = learning_rate(config, step)
        with reduced_precision_matmul(self.precision == torch.bfloat16):
            self.optimizers[0].step()
        self.fit_auxiliary()
        # The average starts as a plain mean, so that it forgets the first steps soon.
        decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), tuple(self.model.parameters()), 1 - decay)
        figures = torch.stack([loss.total.detach(), loss.bpp.detach(), loss.mse.detach()])
        self.process.average([figures])
        total, bpp, mse = figures.tolist()
        return total, bpp, -10 * math.log10(mse)

    @abc.abstractmethod
    def main_parameters(self) -> list[torch.nn.Parameter]:
        """The parameters of the first optimizer."""

    @abc.abstractmethod
    def loss(self, x: Tensor, step: int) -> Loss:
        """The loss of this process's share of a batch, with its graph for backward."""

    def fit_auxiliary(self) -> None:  # noqa: B027
        """One step on the auxiliary loss of the entropy bottleneck; a model without one does nothing."""

    def count_tables(self, model: Any, crops: Callable[[int], Tensor], progress: bool) -> dict[str, Tensor] | None:
        """Probability tables from counts of symbols in batches of crops; None if the tables follow from the weights."""
        return None

    @abc.abstractmethod
    def averaged(self) -> Model | WaveletModel:
        """A copy in evaluation mode with the averaged weights."""

    @torch.no_grad()
    @abc.abstractmethod
    def estimate(self, model: Any, x: Tensor, lam: float) -> tuple[Tensor, Tensor]:
        """Estimated bits (b,) of crops float32 (b, 3, h, w) in [0, 1], and the decoded crops in multiples of 1/255."""

    @abc.abstractmethod
    def describe(self) -> dict[str, str]:
        """Metadata to save with the weights: the size of the model, and λ."""

    def state_dict(self) -> dict[str, Any]:
        """The state from which `load_state_dict` continues with results equal to those without interruption."""
        return {
            "model": self.model.weights(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def fits(self, state: dict[str, Any]) -> bool:
        """Whether a `state_dict` is of a model of this size."""
        mine, theirs = ({name: t.shape for name, t in m.items()} for m in (self.model.weights(), state["model"]))
        return mine == theirs

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        torch.nn.Module.load_state_dict(self.model, state["model"], strict=False)
        for name, tensor in state["average"].items():
            self.average[name].copy_(tensor)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
            # PyTorch leaves tensors inside SOAP's nested lists on the CPU.
            for values in optimizer.state.values():
                for key, value in values.items():
                    if isinstance(value, list):
                        values[key] = [v.to(self.process.device) if isinstance(v, Tensor) else v for v in value]


class PaperState(TrainingState):
    """Training of the paper's model with uniform noise in place of quantization (Minnen et al. 2018, §3)."""

    model: Model

    def __init__(self, config: TrainingConfig, model: Model, process: Process):
        if isinstance(config.lam, tuple):
            raise InputError(f"lam = {config.lam}: a model of mbt2018 has one λ, name it.")
        self.validation_lam = config.lam
        super().__init__(config, model, process)
        self.optimizers.append(torch.optim.Adam([model.entropy_bottleneck.quantiles], lr=QUANTILES_LR))

    def main_parameters(self) -> list[torch.nn.Parameter]:
        return self.model.main_parameters()

    def loss(self, x: Tensor, step: int) -> Loss:
        noise_y, noise_z = self._noise(x, step)
        output = self.model.training_pass(x, noise_y, noise_z, self.precision, self.config.context_passes)
        return self.model.loss(output, x, self.validation_lam)

    def fit_auxiliary(self) -> None:
        self.model.aux_loss().backward()  # type: ignore[no-untyped-call]
        self.optimizers[1].step()

    def estimate(self, model: Model, x: Tensor, lam: float) -> tuple[Tensor, Tensor]:
        return model.estimate(x, self.config.context_passes)

    def describe(self) -> dict[str, str]:
        name = "JointAutoregressiveHierarchicalPriors"
        return {"arch": name, "N": str(self.model.N), "M": str(self.model.M), "lam": repr(self.validation_lam)}

    def _noise(self, x: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The noise that replaces the quantization of y and of z."""
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


#: The loss of a trained model is about proportional to λ to this power. Dividing by it gives all λ the same influence.
LOSS_EXPONENT = 0.45
#: `TrainingState.validation_lam` of a model for every λ.
VALIDATION_LAM = 0.013
#: `kind` of the noise that draws λ, above those of the draws in the model.
LAM_DRAW = 1000


class WaveletState(TrainingState):
    """Training of the wavelet codec: each crop of a batch has a random λ, log-uniform over `config.lams`."""

    model: WaveletModel

    # The scale of the gradients changes with the λ of the batch, so the second moments average over fewer steps.
    betas = (0.9, 0.98)

    def __init__(self, config: TrainingConfig, model: WaveletModel, process: Process):
        low, high = config.lams
        self.validation_lam = min(max(VALIDATION_LAM, low), high)
        super().__init__(config, model, process)
        self.precision = torch.float32  # predicted scales and quantization steps need its digits

    def main_parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def loss(self, x: Tensor, step: int) -> Loss:
        config, draws = self.config, itertools.count()

        def noise_like(shape: torch.Size) -> Tensor:
            return noise(tuple(shape), config.seed, step, next(draws), self.process)

        low, high = config.lams
        position = noise((len(x),), config.seed, step, LAM_DRAW, self.process) + 0.5
        lam = low * (high / low) ** position
        bits, x_hat = self.model(x, lam, noise_like, early=step < config.noisy_steps)
        bpp = bits / (x.shape[2] * x.shape[3])
        mse = ((x_hat - x) ** 2).mean((1, 2, 3))
        total = rate_distortion(lam, mse, bpp) / (lam / LAM_CENTRE) ** LOSS_EXPONENT
        return Loss(total.mean(), bpp.mean(), mse.mean())

    def averaged(self) -> WaveletModel:
        model = WaveletModel(self.model.config)
        model.load_state_dict({name: tensor.cpu() for name, tensor in self.average.items()})
        return model.eval()

    def count_tables(
        self, model: WaveletModel, crops: Callable[[int], Tensor], progress: bool
    ) -> dict[str, Tensor] | None:
        return counted_tables(model, crops, self.config.lams, min(BATCHES, self.config.steps), progress)

    def estimate(self, model: WaveletModel, x: Tensor, lam: float) -> tuple[Tensor, Tensor]:
        bits, x_hat = model(x, torch.full((len(x),), lam, device=x.device))
        return bits, torch.round(x_hat.clamp(0, 1) * 255) / 255

    def describe(self) -> dict[str, str]:
        low, high = self.config.lams
        return {"lam": repr(self.validation_lam), "lams": f"{low!r} {high!r}"}


def training_state(config: TrainingConfig, model: Model | WaveletModel, process: Process) -> TrainingState:
    """The state of a training that begins with this model.

    Raises
    ------
    InputError
        A range of λ for a model of a single λ.
    """
    return (
        WaveletState(config, model, process) if isinstance(model, WaveletModel) else PaperState(config, model, process)
    )
