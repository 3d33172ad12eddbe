"""Weights files: safetensors with text metadata, and the fingerprint of weights.

A weights file holds the trained tensors in float32, or float16 for weights that ship. It also holds the integer tables
(`tables.*`) that the entropy coder derives from them: machines whose `exp` differs in the last bit would not agree on
them.
"""

from __future__ import annotations

import contextlib
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
from satstudy.codecs.registry import Learned
from satstudy.codecs.wavelet.model import WaveletModel
from satstudy.codecs.wavelet.model import from_weights as wavelet_from_weights
from satstudy.core import paths, tensor_files
from satstudy.core.errors import InputError
from satstudy.core.hardware import plain_defaults
from satstudy.core.tensor_files import metadata

TABLES = "tables."
#: The context model, and the number of its taps that are not masked.
CONTEXT, TAPS = "context_prediction.weight", len(wavefront.CONTEXT)
#: `arch` in the metadata of wavelet models, and of files that say how one differs from another.
WAVELET, DIFFERENCE = "wavelet", "wavelet-difference"
#: In the metadata of a difference: the fingerprint of the weights that it belongs to, and that of the result.
BASE, RESULT = "base", "result"
#: Kinds of training images.
OVERHEAD, NATURAL = "overhead", "natural"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model in evaluation mode, its metadata and its tables.

    Attributes
    ----------
    metadata : text by name, such as the λ, data and steps of the training
    stored : tables that were stored with the weights, see `tables`
    path : of the file
    """

    model: Model | WaveletModel
    metadata: dict[str, str]
    stored: dict[str, Tensor]
    path: Path

    @property
    def serves_every_rate(self) -> bool:
        """Whether the caller may choose λ."""
        return isinstance(self.model, WaveletModel)

    @property
    def paper_model(self) -> Model:
        """The model, if it is the paper's `mbt2018`.

        Raises
        ------
        InputError
            It is a wavelet model.
        """
        if not isinstance(self.model, Model):
            raise InputError(f"{self.path} holds a wavelet model: name weights of mbt2018.")
        return self.model

    @property
    def wavelet_model(self) -> WaveletModel:
        """The model, where it is a wavelet model.

        Raises
        ------
        InputError
            It is another one.
        """
        if not isinstance(self.model, WaveletModel):
            raise InputError(f"{self.path} holds no wavelet model: name weights that serve every rate.")
        return self.model

    @property
    def lam(self) -> float:
        """λ of the training; for weights of every rate the default."""
        return float(self.metadata["lam"])

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def tables(self) -> dict[str, Tensor]:
        """The integer tables of the entropy coder: those stored with the weights, else computed from the model."""
        with plain_defaults():
            return self.stored or (hyper_tables(self.model) if isinstance(self.model, Model) else {})

    @cached_property
    def fingerprint(self) -> bytes:
        """The eight bytes that a `.sat` file stores to name its weights."""
        with plain_defaults():
            return fingerprint(self.model, self.tables)

    def engine(self, device: torch.device | str = "cpu", *, lam: float | None = None, refine: int = 0) -> Engine:
        """The model prepared for `LearnedCodec`.

        Parameters
        ----------
        lam : for weights of every rate; by default that of the checkpoint
        refine : see `LearnedCodec`

        Raises
        ------
        InputError
            The weights are for another λ.
        """
        # Engines import the range coder and more, which listing weights does not need.
        if isinstance(self.model, WaveletModel):
            from satstudy.codecs.wavelet.engine import WaveletEngine

            return WaveletEngine(self.model, self.lam if lam is None else lam, self.tables, device, refine=refine)
        if lam is not None and lam != self.lam:
            raise InputError(f"These weights are for lam = {self.lam:g}, not {lam:g}: name other weights.")
        from satstudy.codecs.mbt2018.engine import Mbt2018Engine

        return Mbt2018Engine(self.model, self.tables, self.lam, device, refine=refine)


def fingerprint(model: Model | WaveletModel, tables: dict[str, Tensor]) -> bytes:
    """Eight bytes of a SHA-256 over weights and tables.

    Weights count as float32 values, so that a float16 file and its float32 copy have one fingerprint.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted({**model.weights(), **tables}.items()):
        plain = tensor.detach().cpu().contiguous()
        # Adding 0 turns −0 into 0: masked weights can be either.
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
    """Write a weights file, whole or not at all.

    Parameters
    ----------
    metadata : text by name; must have `lam`, for mbt2018 also `N` and `M`
    tables : of `hyper_tables`, computed after loading if left out; of a wavelet model those of
        `satstudy.codecs.wavelet.tables`
    half : store float16, and of the context model only the taps that are not masked; the model card states the loss

    Raises
    ------
    InputError
        The metadata lack a name.
    """
    mbt2018 = isinstance(model, Model)
    if isinstance(model, WaveletModel):
        metadata = {**metadata, "arch": WAVELET, **model.config.text()}
    missing = ({"N", "M", "lam"} if mbt2018 else {"lam"}) - set(metadata)
    if missing:
        raise InputError(f"Weights need {', '.join(sorted(missing))} in their metadata.")
    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if half else torch.float32).contiguous()
        for name, tensor in model.weights().items()
    }
    if half and mbt2018:
        tensors[CONTEXT] = tensors[CONTEXT].flatten(2)[:, :, :TAPS].contiguous()
    tensors |= {TABLES + name: tensor.cpu().contiguous() for name, tensor in (tables or {}).items()}
    tensor_files.write(path, tensors, metadata)


@plain_defaults()
def load(path: Path | str) -> Checkpoint:
    """Read a weights file of `save`, or any `mbt2018` state in safetensors with `lam` in its metadata.

    Raises
    ------
    InputError
        No such file, a damaged one, another architecture, or no `lam`.

    Examples
    --------
    >>> weights = load(shipped()[0.013])
    >>> weights.lam, weights.model.N, weights.model.M, weights.fingerprint.hex()
    (0.013, 64, 192, '04f82605c530366f')
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There are no weights at {path}: `satstudy weights` lists those that ship.")
    tensors, text = tensor_files.read(path)
    if "lam" not in text:
        raise InputError(f"{path} does not say which lam it was trained for: add `lam` to its metadata.")
    lam = 0.0
    with contextlib.suppress(ValueError):
        lam = float(text["lam"])
    if not 0 < lam < math.inf:
        raise InputError(f"{path} has lam = {text['lam']!r}, which is no number above 0: correct its metadata.")
    tables = {name.removeprefix(TABLES): tensors.pop(name) for name in list(tensors) if name.startswith(TABLES)}
    if text.get("arch") == DIFFERENCE:
        return _applied(path, tensors, tables, text)
    if text.get("arch") == WAVELET:
        return Checkpoint(wavelet_from_weights(tensors, text), text, tables, path)
    if (taps := tensors.get(CONTEXT)) is not None and taps.dim() == 3 and taps.shape[2] == TAPS:
        tensors[CONTEXT] = torch.nn.functional.pad(taps, (0, 25 - TAPS)).unflatten(2, (5, 5))
    found = from_weights(tensors)
    return Checkpoint(found, {**text, "N": str(found.N), "M": str(found.M)}, tables, path)


def save_difference(path: Path | str, base: Checkpoint, adapted: Checkpoint) -> None:
    """Write those tensors of a wavelet model, and the tables, that differ from the base: float16.

    Raises
    ------
    InputError
        One of the two is no wavelet model, or their sizes differ.
    """
    before, after = base.wavelet_model.weights(), adapted.wavelet_model.weights()
    if base.wavelet_model.config != adapted.wavelet_model.config:
        raise InputError(f"{adapted.path} and {base.path} differ in size: adapt these weights themselves.")
    changed = {name: t.half() for name, t in after.items() if not torch.equal(t.half(), before[name].half())}
    tables = {TABLES + name: table for name, table in adapted.tables.items()}
    result = wavelet_from_weights({**before, **changed}, base.metadata)
    facts = {
        "arch": DIFFERENCE,
        "lam": base.metadata["lam"],
        BASE: base.fingerprint.hex(),
        RESULT: fingerprint(result, adapted.tables).hex(),
    }
    tensor_files.write(path, {**changed, **tables}, {**adapted.metadata, **facts})


def _applied(path: Path, changed: dict[str, Tensor], tables: dict[str, Tensor], text: dict[str, str]) -> Checkpoint:
    """The weights that a difference makes of its base, which ships or lies beside it."""
    wanted = text.get(BASE, "")
    near = [*everything_shipped(), *sorted(path.parent.glob("*.safetensors"))]
    models = (load(other) for other in near if metadata(other).get("arch") == WAVELET)
    base = next((found for found in models if found.fingerprint.hex() == wanted), None)
    if base is None:
        raise InputError(f"{path} changes the weights {wanted}, which are not at hand: put them into {path.parent}.")
    weights = base.wavelet_model.weights()
    if set(changed) - set(weights):
        raise InputError(f"{path} changes tensors that {base.path} does not have: fetch it again.")
    model = wavelet_from_weights({**weights, **changed}, base.metadata)
    found = Checkpoint(model, {**base.metadata, **text}, tables or base.tables, path)
    if found.fingerprint.hex() != text.get(RESULT):
        raise InputError(f"{path} does not give the weights that were adapted: fetch it again.")
    return found


def shipped(domain: str = OVERHEAD) -> dict[float, Path]:
    """λ → path of the weights in the package that were trained on `domain`, in ascending order.

    >>> list(shipped())
    [0.0001, 0.0008, 0.0025, 0.0067, 0.013, 0.045]
    """
    found = {}
    for path in everything_shipped():
        text = metadata(path)
        if text.get("domain", OVERHEAD) == domain and text.get("arch") != WAVELET:
            found[float(text["lam"])] = path
    return dict(sorted(found.items()))


def shipped_for_every_rate(domain: str = OVERHEAD) -> Path | None:
    """The path of the weights in the package that serve every λ, where there are some of this domain."""
    for path in everything_shipped():
        text = metadata(path)
        if text.get("arch") == WAVELET and text.get("domain", OVERHEAD) == domain:
            return path
    return None


def none_ship(kind: str, remedy: str) -> InputError:
    """The error that the package has no weights of a kind, to be raised.

    >>> none_ship("for overhead images", "name some with --weights")
    InputError('No weights for overhead images ship with this package: name some with --weights.')
    """
    return InputError(f"No weights {kind} ship with this package: {remedy}.")


def ships(learned: Learned) -> bool:
    """Whether weights of a learned codec are in the package."""
    if learned.every_rate:
        return shipped_for_every_rate(learned.domain) is not None
    return bool(shipped(learned.domain))


def everything_shipped() -> list[Path]:
    """All weights in the package."""
    return sorted(paths.WEIGHTS.glob("*.safetensors"))


def nearest(lam: float, candidates: Sequence[float]) -> float:
    """The candidate with the ratio to `lam` closest to one; of two, the smaller.

    >>> nearest(0.01, [0.001, 0.0067, 0.02])
    0.0067
    """
    return min(candidates, key=lambda other: (abs(math.log(other / lam)), other))
