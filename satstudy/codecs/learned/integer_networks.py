"""The networks behind the probabilities, in integers: the hyperprior's synthesis and the context model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from satstudy.codecs.learned.integers import Linear, to_activation
from satstudy.codecs.learned.model import Model
from satstudy.codecs.learned.probability import scale_thresholds
from satstudy.codecs.learned.wavefront import CONTEXT

#: Positions whose neighbourhoods are gathered at a time.
STRIP = 4096
#: The positions of one row, in `CONTEXT`.
CONTEXT_LINES = [slice(0, 5), slice(5, 10), slice(10, 12)]


class HyperSynthesis:
    """`h_s` in integers: hyper-latents to the parameters that do not depend on the context.

    Convolutions are taken as matrix products over gathered neighbourhoods, since a library may compute a
    3×3 convolution by Winograd's method, whose fractions are not exact.
    """

    def __init__(self, h_s: torch.nn.Sequential, carrier: torch.dtype, device: torch.device):
        self.carrier = carrier
        layers: list[Any] = list(h_s)
        self.up = [self._deconvolution(layers[i], carrier, device) for i in (0, 2)]
        conv = layers[4]
        taps = conv.weight.detach().permute(2, 3, 1, 0)  # (3, 3, in, out)
        rows = [taps[i].reshape(-1, conv.out_channels) for i in range(3)]
        self.last = Linear(rows, conv.bias.detach(), carrier, device)

    @staticmethod
    def _deconvolution(layer: Any, carrier: torch.dtype, device: torch.device) -> list[Linear]:
        """A 5×5 stride-2 transposed convolution as four 3×3 convolutions, one per output phase."""
        weight, bias = layer.weight.detach(), layer.bias.detach()  # (in, out, 5, 5)
        phases = []
        for row in (0, 1):
            for column in (0, 1):
                # Output 2i + p takes input i + d through tap 2 + p − 2d, where that is within 0…4: an odd phase
                # has no d = −1.
                taps = [
                    torch.cat([weight[:, :, 4 + row - 2 * i, 4 + column - 2 * j] for j in range(column, 3)])
                    for i in range(row, 3)
                ]
                phases.append(Linear(taps, bias, carrier, device))
        return phases

    @staticmethod
    def _neighbourhoods(x: Tensor) -> Iterator[tuple[slice, slice, list[Tensor]]]:
        """(b, h, w, c) to three (b·h·w, 3c): rows of each position's 3×3 surroundings, zero outside.

        Given out in strips, as it takes nine times the memory of `x`: tiles, rows, and what surrounds them.
        """
        b, h, w, c = x.shape
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        deep = max(1, min(h, STRIP // w))
        many = max(1, STRIP // (deep * w))
        for tile in range(0, b, many):
            for row in range(0, h, deep):
                tiles, rows = slice(tile, min(b, tile + many)), slice(row, min(h, row + deep))
                lines = (padded[tiles, rows.start + i : rows.stop + i] for i in range(3))
                around = [torch.cat([line[:, :, j : j + w] for j in range(3)], -1).reshape(-1, 3 * c) for line in lines]
                yield tiles, rows, around

    def __call__(self, z: Tensor) -> Tensor:
        """Integer hyper-latents (b, h, w, N) to integer parameters (b, 4h, 4w, 2M)."""
        x = z
        for phases in self.up:
            b, h, w, c = x.shape
            grid = x.new_empty(b, h, 2, w, 2, phases[0].outputs)
            for tiles, rows, around in self._neighbourhoods(x):
                part = grid[tiles, rows]
                for phase, layer in enumerate(phases):
                    seen = [line[:, phase % 2 * c :] for line in around[phase // 2 :]]
                    values = to_activation(layer.sums(*seen), leaky=True)
                    part[:, :, phase // 2, :, phase % 2] = values.reshape(*part.shape[:2], w, -1)
            x = grid.reshape(b, 2 * h, 2 * w, -1)
        b, h, w, _ = x.shape
        result = x.new_empty(b, h, w, self.last.outputs)
        for tiles, rows, around in self._neighbourhoods(x):
            part = result[tiles, rows]
            part.copy_(to_activation(self.last.sums(*around), leaky=False).reshape(part.shape))
        return result


class ContextModel:
    """`context_prediction` and `entropy_parameters` in integers: the level and the mean of every latent.

    Attributes
    ----------
    from_hyper : the part of the first layer that sees the output of `h_s`, all positions at once
    """

    def __init__(self, model: Model, carrier: torch.dtype, device: torch.device):
        self.M, self.carrier = model.M, carrier
        # (12, in, out): only the taps that the mask lets through.
        taps = [model.context_prediction.weight.detach()[:, :, r + 2, c + 2].T for r, c in CONTEXT]
        bias = model.context_prediction.bias.detach()
        lines = [torch.cat(taps[part]) for part in CONTEXT_LINES]
        self.context = Linear(lines, bias, carrier, device)
        layers: list[Any] = [layer for layer in model.entropy_parameters if isinstance(layer, torch.nn.Conv2d)]
        weights = [(layer.weight.detach()[:, :, 0, 0].T, layer.bias.detach()) for layer in layers]
        # The first layer is a sum over the parameters of h_s, known beforehand, and over the context.
        first, bias = weights[0]
        self.from_hyper = Linear([first[: 2 * self.M]], bias, carrier, device)
        self.from_context = Linear([first[2 * self.M :]], torch.zeros_like(bias), carrier, device)
        self.rest = [Linear([w], b, carrier, device) for w, b in weights[1:]]
        self.thresholds = torch.tensor(scale_thresholds(), dtype=torch.int32, device=device)

    def __call__(self, buffer: Tensor, at: Tensor, hyper: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """The distributions of some positions.

        Parameters
        ----------
        buffer : integer latents (padded positions, M), zero where none is coded yet
        at : int64 (rows,), the padded positions
        hyper : int32 (rows, width), what `from_hyper` gives for them
        offsets : int64 (12,), from a padded position to those of its context

        Returns
        -------
        level : int32 (rows, M)
        mean : int32 (rows, M), in units of 2^-ACTIVATION_BITS
        """
        # Looked up one by one: indexing with a matrix is three times slower.
        around = (
            buffer.index_select(0, (at[:, None] + offsets[line]).flatten()).reshape(len(at), -1)
            for line in CONTEXT_LINES
        )
        context = to_activation(self.context.sums(*around), leaky=False).to(self.carrier)
        x = to_activation(self.from_context.sums(context).add_(hyper), leaky=True)
        for layer in self.rest[:-1]:
            x = to_activation(layer.sums(x.to(self.carrier)), leaky=True)
        sums = self.rest[-1].sums(x.to(self.carrier))
        # Scales are compared before rounding: the grid of activations is coarse for small ones.
        level = torch.bucketize(sums[:, : self.M].contiguous(), self.thresholds, out_int32=True)
        mean = to_activation(sums[:, self.M :], leaky=False)
        return level, mean
