"""Checkpoints: weights in safetensors with what made them, and nothing in pickle.

A weights file holds the trained tensors (float32, or float16 where it is shipped) and flat text
metadata. What the entropy coder derives from them with transcendental functions is stored too
(`tables.*`, integers), so that two machines whose `exp` differs in the last bit still agree.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from satstudy.codecs.coding.engine import Engine
from satstudy.codecs.mbt2018 import wavefront
from satstudy.codecs.mbt2018.model import Model, from_weights
from satstudy.codecs.mbt2018.prior import hyper_tables
from satstudy.codecs.wavelet.model import WaveletModel
from satstudy.codecs.wavelet.model import from_weights as wavelet_from_weights
from satstudy.core import paths, tensor_files
from satstudy.core.errors import InputError
from satstudy.core.hardware import plain_defaults
from satstudy.core.tensor_files import metadata

TABLES = "tables."
#: The context model, and how many of its 5×5 taps come before the position that is coded.
CONTEXT, TAPS = "context_prediction.weight", len(wavefront.CONTEXT)
#: What metadata call the architecture of the wavelet codec.
WAVELET = "wavelet"
#: Kinds of images that weights are trained on.
OVERHEAD, NATURAL = "overhead", "natural"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model in evaluation mode and what is known about it.

    Attributes
    ----------
    stored : the entropy coder's tables as far as they came with the weights; see `tables`
    """

    model: Model | WaveletModel
    metadata: dict[str, str]
    stored: dict[str, Tensor]
    path: Path

    @property
    def serves_every_rate(self) -> bool:
        """Whether λ is a choice of the caller; other weights have their own."""
        return isinstance(self.model, WaveletModel)

    @property
    def paper_model(self) -> Model:
        """The model, where it is the paper's `mbt2018`.

        Raises
        ------
        InputError
            It is another one.
        """
        if not isinstance(self.model, Model):
            raise InputError(f"{self.path} holds a wavelet model: name weights of mbt2018.")
        return self.model

    @property
    def lam(self) -> float:
        """The λ that the weights were trained with, or the one that they are used with by default."""
        return float(self.metadata["lam"])

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def tables(self) -> dict[str, Tensor]:
        """The entropy coder's integer tables: as stored with the weights, or made from the model."""
        with plain_defaults():
            return self.stored or (hyper_tables(self.model) if isinstance(self.model, Model) else {})

    @cached_property
    def fingerprint(self) -> bytes:
        """What a file says it was made with: eight bytes of the weights and their tables."""
        with plain_defaults():
            return fingerprint(self.model, self.tables)

    def engine(
        self,
        device: torch.device | str = "cpu",
        *,
        lam: float | None = None,
        refine: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> Engine:
        """The model ready for use by `LearnedCodec`.

        Parameters
        ----------
        lam : for weights that serve every rate; `lam` of the checkpoint by default

        Raises
        ------
        InputError
            A λ for weights that have their own.
        """
        # The engines import what trains and codes; listing weights does without.
        if isinstance(self.model, WaveletModel):
            from satstudy.codecs.wavelet.engine import WaveletEngine

            return WaveletEngine(self.model, self.lam if lam is None else lam, device)
        if lam is not None and lam != self.lam:
            raise InputError(f"These weights are for lam = {self.lam:g}, not {lam:g}: name other weights.")
        from satstudy.codecs.mbt2018.engine import Mbt2018Engine

        return Mbt2018Engine(self.model, self.tables, self.lam, device, refine=refine, dtype=dtype)


def fingerprint(model: Model | WaveletModel, tables: dict[str, Tensor]) -> bytes:
    """Eight bytes that differ when any weight or table does.

    Taken over float32 values, so that a float16 file and its float32 copy agree.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted({**model.weights(), **tables}.items()):
        plain = tensor.detach().cpu().contiguous()
        # Adding 0 turns −0 into 0: a masked weight is either.
        plain = plain.float() + 0.0 if plain.is_floating_point() else plain.long()
        digest.update(f"{name}{tuple(plain.shape)}".encode())
        digest.update(plain.numpy().tobytes())
    return digest.digest()[:8]


def save(
    path: Path | str,
    model: Model | WaveletModel,
    metadata: dict[str, str],
    tables: dict[str, Tensor] | None = None,
    half: bool = False,
) -> None:
    """Write weights under a temporary name and rename them into place.

    Parameters
    ----------
    metadata : text by text; `lam` is required, and of mbt2018 `N` and `M`
    half : store float16, half the size, and of the context model only the taps that its mask lets through; what
        rounding costs is in the model card
    """
    of_paper = isinstance(model, Model)
    if isinstance(model, WaveletModel):
        metadata = {**metadata, "arch": WAVELET, **model.config.text()}
    missing = ({"N", "M", "lam"} if of_paper else {"lam"}) - set(metadata)
    if missing:
        raise InputError(f"Weights need {', '.join(sorted(missing))} in their metadata.")
    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if half else torch.float32).contiguous()
        for name, tensor in model.weights().items()
    }
    if half and of_paper:
        tensors[CONTEXT] = tensors[CONTEXT].flatten(2)[:, :, :TAPS].contiguous()
    tensors |= {TABLES + name: tensor.cpu().contiguous() for name, tensor in (tables or {}).items()}
    tensor_files.write(path, tensors, metadata)


@plain_defaults()
def load(path: Path | str) -> Checkpoint:
    """Read weights, written by `save` or any `mbt2018` state in safetensors with `lam` in its metadata.

    Raises
    ------
    InputError
        No such file, damaged, another architecture, or no `lam`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There are no weights at {path}: `satstudy weights` lists those that ship.")
    tensors, text = tensor_files.read(path)
    if "lam" not in text:
        raise InputError(f"{path} does not say which lam it was trained for: add `lam` to its metadata.")
    try:
        float(text["lam"])
    except ValueError:
        raise InputError(f"{path} has lam = {text['lam']!r}, which is no number: correct its metadata.") from None
    if text.get("arch") == WAVELET:
        model = wavelet_from_weights(tensors, text)
        return Checkpoint(model, text, {}, path)
    if (taps := tensors.get(CONTEXT)) is not None and taps.dim() == 3 and taps.shape[2] == TAPS:
        tensors[CONTEXT] = torch.nn.functional.pad(taps, (0, 25 - TAPS)).unflatten(2, (5, 5))
    tables = {name.removeprefix(TABLES): tensors.pop(name) for name in list(tensors) if name.startswith(TABLES)}
    found = from_weights(tensors)
    return Checkpoint(found, {**text, "N": str(found.N), "M": str(found.M)}, tables, path)


def domains() -> list[str]:
    """The kinds of images that shipped weights were trained on."""
    return sorted({metadata(path).get("domain", OVERHEAD) for path in paths.WEIGHTS.glob("*.safetensors")})


def shipped(domain: str = OVERHEAD) -> dict[float, Path]:
    """λ → path of the weights in the package that were trained on `domain`, rising in λ."""
    found = {}
    for path in paths.WEIGHTS.glob("*.safetensors"):
        text = metadata(path)
        if text.get("domain", OVERHEAD) == domain and text.get("arch") != WAVELET:
            found[float(text["lam"])] = path
    return dict(sorted(found.items()))


def nearest(lam: float, candidates: Sequence[float]) -> float:
    """The candidate whose ratio to `lam` is closest to one."""
    return min(candidates, key=lambda other: (abs(math.log(other / lam)), other))
