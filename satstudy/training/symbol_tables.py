"""The symbol tables of a trained wavelet model: counts of what its encoder writes for training crops."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm.auto import tqdm

from satstudy.codecs.wavelet.coder import WaveletCoder
from satstudy.codecs.wavelet.config import lam_index, lam_of
from satstudy.codecs.wavelet.model import WaveletModel, condition
from satstudy.codecs.wavelet.subbands import each
from satstudy.codecs.wavelet.tables import fitted, no_counts

#: Batches that are counted, and how often: what the encoder decides depends on the tables.
BATCHES, ROUNDS = 64, 2
#: Multiples of it fill the unit interval evenly.
GOLDEN = 0.6180339887


def counted_tables(
    model: WaveletModel,
    crops: Callable[[int], Tensor],
    lams: tuple[float, float],
    batches: int = BATCHES,
    progress: bool = True,
) -> dict[str, Tensor]:
    """Tables for the weights file of a model.

    Parameters
    ----------
    model : in evaluation mode, on the CPU
    crops : gives batch 0, 1, …: float32 (b, 3, height, width) in [0, 1], sides multiples of 16
    lams : smallest and largest λ; each batch has one of its own
    """
    tables: dict[str, Tensor] | None = None
    low, high = lams
    with tqdm(total=ROUNDS * batches, desc="symbol tables", unit="batch", disable=not progress) as bar:
        for _ in range(ROUNDS):
            coder, counts = WaveletCoder(model, tables), no_counts()
            for i in range(batches):
                index = lam_index(low * (high / low) ** ((i + 0.5) * GOLDEN % 1))
                with torch.inference_mode():
                    bands = model.decompose(crops(i), condition(torch.tensor([lam_of(index)], dtype=torch.float32)))
                    counts += coder.count(each(bands), index)
                bar.update()
            tables = fitted(counts)
    assert tables is not None
    return tables
