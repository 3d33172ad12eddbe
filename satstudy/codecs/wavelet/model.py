"""The networks of the wavelet codec: one model for every rate.

An image is corrected by a small network, decomposed into wavelet sub-bands (`subbands`), and quantized. The bands are
coded from coarse to fine. At each level a network predicts, from all coarser bands, the mean and the scale of every
coefficient; within a level it goes on predicting from the coefficients of the level that are decoded already::

    coarser bands ─► features ─► turn 1 ─► turn 2 ─► turn 3 ─► turn 4 ─► turn 5 ─► turn 6 ─► features of the next level
                                 luma 00   luma 11   luma 01   luma 10   chroma    chroma
                                                                         00, 11    01, 10

A level is seen on a grid of cells of 2×2 coefficients. Digits are the row and the column of a coefficient in its cell:
each turn decodes these positions of all cells at once, so decoding takes six steps a level and not one a coefficient.
After the inverse transform a second small network corrects the image.

λ enters in two places: the quantization steps are proportional to λ^(−1/2), as rate-distortion theory says for fine
quantization, up to a learned factor for each band; and the networks add learned functions of λ to their layers.

The coefficients of a level are quantized with a rate-distortion decision: a coefficient takes the smaller magnitude
where the bits that it saves are worth more than the error that it adds. Training sees the coefficients as they are
quantized, so that the networks learn the distributions that a file has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from satstudy.codecs.wavelet.config import LAM_CENTRE, LAM_MAX, LEVELS, WaveletConfig
from satstudy.codecs.wavelet.subbands import (
    BANDS,
    SMOOTH_LEVELS,
    Bands,
    even_sides,
    join_coarse,
    join_smooth,
    rotate,
    split_coarse,
    split_smooth,
)
from satstudy.core.errors import InputError
from satstudy.core.tensor_files import require_finite

#: Δ² · λ · 255² of a step Δ at which, by the theory of fine quantization, one more bit buys λ's worth of error.
STEP_SQUARED = 18 / math.log(2)
#: What the squared error of one coefficient, in squared steps, costs in bits: λ · 255² · Δ² / 3.
ERROR_BITS = STEP_SQUARED / 3
#: Bits of a coefficient of the coarsest low-pass band at `LAM_MAX`: it is coded plainly.
LOW_BITS = 14
#: Activations are held within ±LIMIT, so that their sums have a bound (`satstudy.codecs.wavelet.exact`).
LIMIT = 15.90625
#: Slope of the activations below zero, a power of two.
LEAK = 0.125
#: Scales of a coefficient, in steps.
SCALE_MIN, SCALE_MAX = 0.11, 256.0
#: Likelihood of a coefficient that its distribution does not foresee, one step from the mean.
ESCAPE = 2.0**-17


#: A shape to noise of that shape, uniform in [−0.5, 0.5), on the device of the model.
Noise = Callable[[torch.Size], Tensor]
#: Quantizes the coefficients of one turn: (coefficients in steps, prediction, what a squared error of one step costs in
#: bits) to the bits of each coefficient and the coefficients as decoded.
Quantizer = Callable[[Tensor, "Prediction", Tensor], tuple[Tensor, Tensor]]


class Turn(NamedTuple):
    """Coefficients of a level that are decoded at once."""

    bands: slice  #: of the nine bands of the level
    positions: tuple[int, ...]  #: within a cell of 2×2: 0 1 / 2 3


LUMA, CHROMA = slice(0, 3), slice(3, 9)
TURNS = (
    Turn(LUMA, (0,)),
    Turn(LUMA, (3,)),
    Turn(LUMA, (1,)),
    Turn(LUMA, (2,)),
    Turn(CHROMA, (0, 3)),
    Turn(CHROMA, (1, 2)),
)


def activation(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


def condition(lam: Tensor) -> Tensor:
    """What the networks are told of λ: float (b,) to (b, 3), powers of a scaled logarithm."""
    t = torch.log(lam / LAM_CENTRE) / 3
    return torch.stack((t, t * t, t * t * t), 1)


def likelihood(k: Tensor, scale: Tensor) -> Tensor:
    """Probability of the residual `k` (whole, or with noise) under a normal distribution of mean 0 and this scale.

    A small share is left to values that the distribution does not foresee; it falls with the square of their
    distance, as the bits of an escape in a file grow with its logarithm. So what is predicted worst has a gradient.
    """
    distance = k.abs()
    mass = torch.special.ndtr((0.5 - distance) / scale) - torch.special.ndtr((-0.5 - distance) / scale)
    return mass * (1 - 2.0**-14) + ESCAPE / (1 + k.square())


class Correction(nn.Module):
    """A small U-shaped network whose output is added to an image: half and quarter resolution.

    float32 (b, 3, h, w), h and w multiples of 4, and (b, 3), the condition, to (b, 3, h, w). A pixel depends on those
    up to 16 pixels away: 3×3 at half resolution, 2×2 with stride 2, twice 3×3 at a quarter, 3×3 at half.
    """

    def __init__(self, width: int):
        super().__init__()
        wide = 2 * width
        self.first = nn.Conv2d(12, width, 3, padding=1)
        self.condition: nn.Linear = _silent(3, width)
        self.down = nn.Conv2d(width, wide, 2, stride=2)
        self.inner = nn.ModuleList([nn.Conv2d(wide, wide, 3, padding=1) for _ in range(2)])
        self.up = nn.Conv2d(wide, 4 * width, 1)
        self.last = nn.Conv2d(width, 12, 3, padding=1)
        with torch.no_grad():  # begins as nearly no correction
            self.last.weight.mul_(0.02)
            self.last.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        fine = activation(self.first(F.pixel_unshuffle(x, 2)) + self.condition(cond)[:, :, None, None])
        coarse = activation(self.down(fine))
        for layer in self.inner:
            coarse = coarse + activation(layer(coarse))
        fine = fine + F.pixel_shuffle(self.up(coarse), 2)
        return F.pixel_shuffle(self.last(activation(fine)), 2)


class LevelNetwork(nn.Module):
    """Predicts the coefficients of one level, turn by turn.

    Parameters
    ----------
    width : channels
    finer : channels of the next finer level's network; 0 at the finest
    depth : residual 3×3 convolutions before the first turn

    Attributes
    ----------
    unit, rounded : 1 and False where the network is trained. In exact use activations are whole numbers, in
        units of 1/`unit` (`satstudy.codecs.wavelet.exact`)
    """

    def __init__(self, width: int, finer: int, depth: int):
        super().__init__()
        self.unit, self.rounded = 1, False
        self.trunk = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)])
        self.condition: nn.Linear = _silent(3, width * (depth + len(TURNS)))
        self.enter = nn.ModuleList([nn.Conv2d(width, width, 1) for _ in TURNS])
        # What a turn sees of the turns before it.
        self.luma = nn.ModuleList([nn.Conv2d(3 * n, width, 3, padding=1, bias=False) for n in (1, 2, 3)])
        self.luma_here = nn.ModuleList([nn.Conv2d(12, width, 1, bias=False) for _ in range(2)])
        self.chroma = nn.Conv2d(12, width, 3, padding=1, bias=False)
        self.inner = nn.ModuleList([nn.Conv2d(width, width, 1) for _ in TURNS])
        self.head = nn.ModuleList([nn.Conv2d(width, 2 * _values(turn), 1) for turn in TURNS])
        self.merge = nn.Conv2d(4 * BANDS, width, 3, padding=1) if finer else None
        self.up = nn.Conv2d(width, 4 * finer, 1) if finer else None
        with torch.no_grad():
            for head in self.head:
                cast(nn.Conv2d, head).weight.mul_(0.1)
                # Most coefficients are zero at most rates, so scales begin below a step.
                cast(Tensor, head.bias).chunk(2)[1].fill_(-1.0)

    # --- Activations, as trained or on a grid ---------------------------------------------------------------

    def whole(self, x: Tensor) -> Tensor:
        """Rounded to the grid in exact use."""
        return torch.floor(x + 0.5) if self.rounded else x

    def held(self, x: Tensor) -> Tensor:
        """Within ±LIMIT."""
        return x.clamp(-LIMIT * self.unit, LIMIT * self.unit)

    def active(self, x: Tensor) -> Tensor:
        return self.whole(activation(x))

    def squashed(self, y: Tensor) -> Tensor:
        """Coefficients as a network sees them: small ones as they are, large ones compressed, within ±10."""
        large = y.clamp(-128 * self.unit, 128 * self.unit) / 16
        return y.clamp(-2 * self.unit, 2 * self.unit) + self.whole(large)

    # --- Prediction -----------------------------------------------------------------------------------------

    def shifts(self, cond: Tensor) -> list[Tensor]:
        """What λ adds: to each layer of the trunk, then to each turn, (b, width, 1, 1) each."""
        return list(self.condition(cond)[:, :, None, None].chunk(len(self.trunk) + len(TURNS), 1))

    def features(self, h: Tensor, shifts: Sequence[Tensor]) -> Tensor:
        """What all turns share; `shifts` is what λ adds to the layers of the trunk."""
        for layer, shift in zip(self.trunk, shifts, strict=True):
            h = self.held(h + self.active(layer(h) + shift))
        return h

    def predict(self, h: Tensor, turn: int, known: Sequence[Tensor], shift: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-scales of one turn, in units: (b, values, rows, columns) each.

        Parameters
        ----------
        h : from `features`
        known : what the turns before decoded, squashed, (b, values, rows, columns) each
        shift : what λ adds
        """
        z = self.enter[turn](h) + shift
        if 1 <= turn <= 3:
            z = z + self.luma[turn - 1](torch.cat(list(known), 1))
        elif turn >= 4:
            z = z + self.luma_here[turn - 4](torch.cat(list(known[:4]), 1))
            if turn == 5:
                z = z + self.chroma(known[4])
        u = self.held(self.active(z))
        u = self.held(u + self.active(self.inner[turn](u)))
        means, scales = self.head[turn](u).chunk(2, 1)
        return means, scales

    def handed_on(self, h: Tensor, y_hat: Tensor, up: nn.Module) -> Tensor:
        """The features that the next finer level begins with, from all of this level's coefficients (b, 36, …)."""
        assert self.merge is not None
        h = self.held(h + self.active(self.merge(self.squashed(y_hat))))
        return self.held(self.whole(F.pixel_shuffle(up(h), 2)))


def _values(turn: Turn) -> int:
    """Coefficients of a turn in one cell."""
    return (turn.bands.stop - turn.bands.start) * len(turn.positions)


def _silent(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def take(cells: Tensor, turn: Turn) -> Tensor:
    """The coefficients of a turn from (b, 9, 4, rows, columns): (b, values, rows, columns)."""
    return cells[:, turn.bands, list(turn.positions)].flatten(1, 2)


def assembled(parts: Sequence[Tensor]) -> Tensor:
    """All turns of a level, as `take` gives them, to (b, 36, rows, columns): channel 4·band + position."""
    luma = torch.stack([parts[0], parts[2], parts[3], parts[1]], 2)
    first, second = (part.unflatten(1, (6, 2)) for part in parts[4:])
    chroma = torch.stack((first[:, :, 0], second[:, :, 0], second[:, :, 1], first[:, :, 1]), 2)
    return torch.cat((luma, chroma), 1).flatten(1, 2)


# --- The model --------------------------------------------------------------------------------------------------


class Prediction(NamedTuple):
    """What the networks say of the coefficients of one turn; means and scales in quantization steps."""

    level: int
    turn: int
    means: Tensor  #: (b, values, rows, columns), in steps × unit
    scales: Tensor  #: likewise, natural logarithms × unit


class BandNetworks(nn.Module):
    """The networks of all levels, and the order in which they are asked."""

    def __init__(self, config: WaveletConfig):
        super().__init__()
        self.config = config
        widths = config.widths
        self.levels = nn.ModuleList(
            [
                LevelNetwork(w, widths[i - 1] if i else 0, d)
                for i, (w, d) in enumerate(zip(widths, config.depths, strict=True))
            ]
        )
        self.first = nn.Conv2d(12, widths[-1], 1)
        #: Between levels that share a network.
        self.up = nn.Conv2d(widths[-1], 4 * widths[-1], 1)

    def each(self) -> list[LevelNetwork]:
        """The level networks, finest first."""
        return cast(list[LevelNetwork], list(self.levels))

    def level(self, level: int) -> LevelNetwork:
        """The network of level 0 (finest) … 7."""
        return self.each()[min(level, len(self.levels) - 1)]

    def walk(
        self, low: Tensor, shifts: Sequence[Sequence[Tensor]], shapes: Sequence[tuple[int, int]]
    ) -> Generator[Prediction, Tensor, None]:
        """Asks for the coefficients turn by turn, coarsest level first.

        Parameters
        ----------
        low : (b, 3, rows, columns), the low-pass band in steps × unit
        shifts : for each level network, what λ adds to its layers (`LevelNetwork.shifts`)
        shapes : (rows, columns) of the bands of each level, finest first

        Yields
        ------
        the prediction for a turn; `send` it the decoded coefficients, (b, values, rows, columns) in steps × unit
        """
        coarsest = self.level(LEVELS - 1)
        cells = F.pixel_unshuffle(even_sides(low), 2)
        h = coarsest.held(coarsest.active(self.first(coarsest.squashed(coarsest.whole(cells / 8)))))
        for level in reversed(range(LEVELS)):
            network = self.level(level)
            rows, columns = (-(-side // 2) for side in shapes[level])
            own = shifts[min(level, len(self.levels) - 1)]
            h = network.features(h[:, :, :rows, :columns], own[: len(network.trunk)])
            parts: list[Tensor] = []
            known: list[Tensor] = []
            for i in range(len(TURNS)):
                parts.append((yield Prediction(level, i, *network.predict(h, i, known, own[len(network.trunk) + i]))))
                known.append(network.squashed(parts[-1]))
            if level:
                shared = level >= len(self.levels)
                h = network.handed_on(h, assembled(parts), self.up if shared else network.up)  # type: ignore[arg-type]


def band_shapes(height: int, width: int) -> list[tuple[int, int]]:
    """(rows, columns) of the bands of each level, finest first, of an image whose sides are multiples of 16."""
    shapes = []
    for _ in range(LEVELS):
        height, width = -(-height // 2), -(-width // 2)
        shapes.append((height, width))
    return shapes


def inside(rows: int, columns: int, device: torch.device | None = None) -> Tensor:
    """Which positions of the cells of a level hold a coefficient: bool (4, ⌈rows/2⌉, ⌈columns/2⌉)."""
    whole = torch.ones(1, rows, columns, dtype=torch.uint8, device=device)
    return F.pixel_unshuffle(F.pad(whole, (0, columns % 2, 0, rows % 2)), 2).bool()


class WaveletModel(nn.Module):
    """The wavelet codec's networks with its quantization steps."""

    def __init__(self, config: WaveletConfig):
        super().__init__()
        self.config = config
        self.networks = BandNetworks(config)
        #: Logarithms of what each band's step is smaller by, and how they change with λ: (level, band).
        self.gain = nn.Parameter(torch.zeros(LEVELS, BANDS))
        self.gain_slope = nn.Parameter(torch.zeros(LEVELS, BANDS))
        self.before, self.after = Correction(config.correction), Correction(config.correction)

    @property
    def size(self) -> str:
        """The widths of the level networks, for listings."""
        return "widths=" + ",".join(map(str, self.config.widths))

    def weights(self) -> dict[str, Tensor]:
        """The trained tensors."""
        return {name: parameter.detach() for name, parameter in self.named_parameters()}

    def steps(self, lam: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Quantization steps, relative to pixels in [0, 1].

        Parameters
        ----------
        lam : float (b,)

        Returns
        -------
        low, details : (b, 1, 1, 1) of the low-pass band; of each level (b, 9, 1, 1)
        """
        base = (STEP_SQUARED / lam).sqrt() / 255
        t = condition(lam)[:, :1]
        gains = [torch.exp(self.gain[i] + self.gain_slope[i] * t) for i in range(LEVELS)]
        return base[:, None, None, None], [(base[:, None] / gain)[:, :, None, None] for gain in gains]

    def shifts(self, cond: Tensor) -> list[list[Tensor]]:
        """What λ adds in each level network."""
        return [network.shifts(cond) for network in self.networks.each()]

    def corrected(self, x: Tensor, cond: Tensor) -> Tensor:
        """The image as it is decomposed."""
        return x + self.before(x - 0.5, cond)

    def decompose(self, x: Tensor, cond: Tensor) -> Bands:
        """float32 (b, 3, h, w) in [0, 1], sides multiples of 16, to the 9/7 bands and the low-pass band they leave."""
        return split_smooth(rotate(self.corrected(x, cond) - 0.5))

    def recompose(self, bands: Bands, cond: Tensor) -> Tensor:
        """The inverse: decoded 9/7 bands, relative to pixels in [0, 1], to an image (not clamped)."""
        x = rotate(join_smooth(bands), inverse=True)
        return x + 0.5 + self.after(x, cond)

    def forward(self, x: Tensor, lam: Tensor, noise: Noise | None = None, early: bool = False) -> tuple[Tensor, Tensor]:
        """Rate and reconstruction as in a file, with gradients where there is noise.

        Parameters
        ----------
        x : float32 (b, 3, h, w) in [0, 1], sides multiples of 16
        lam : float32 (b,)
        noise : for training, draws uniform noise in [−0.5, 0.5). The rate is that of the quantized coefficients, and
            its gradient that of coefficients with noise, except for the scales: those learn the distribution of what
            is quantized
        early : in the first steps of a training, when scales are far off, the rate is that with noise as well

        Returns
        -------
        bits : float32 (b,)
        x_hat : float32 (b, 3, h, w), not clamped
        """
        smooth = self.decompose(x, condition(lam))
        return self.coded(smooth, lam, partial(self._quantized, noise=noise, early=early))

    def coded(self, smooth: Bands, lam: Tensor, quantize: Quantizer) -> tuple[Tensor, Tensor]:
        """Rate and reconstruction of sub-bands, with any quantization.

        Parameters
        ----------
        smooth : from `decompose`
        lam : float32 (b,)

        Returns
        -------
        bits, x_hat : as `forward`
        """
        cond = condition(lam)
        low_step, steps = self.steps(lam)
        coarse = split_coarse(smooth.low)
        low = round_ste(coarse.low / low_step)
        bits = (LOW_BITS + torch.log2(lam / LAM_MAX) / 2) * low[0].numel()
        shapes = [(detail.shape[2], detail.shape[3]) for detail in (*smooth.details, *coarse.details)]
        decoded: list[Tensor] = []
        walk = self.networks.walk(low, self.shifts(cond), shapes)
        asked = next(walk)
        for level in reversed(range(LEVELS)):
            y = (smooth.details + coarse.details)[level] / steps[level]
            cells = F.pixel_unshuffle(even_sides(y), 2).unflatten(1, (BANDS, 4))
            valid = inside(*shapes[level], device=y.device)
            gain = low_step[:, :, 0] / steps[level][:, :, :, 0]
            parts = []
            for turn in TURNS:
                here = valid[list(turn.positions)].repeat(turn.bands.stop - turn.bands.start, 1, 1)
                error_bits = ERROR_BITS / gain[:, turn.bands].repeat_interleave(len(turn.positions), 1)[..., None] ** 2
                spent, y_hat = quantize(take(cells, turn), asked, error_bits)
                bits = bits + (spent * here).flatten(1).sum(1)
                parts.append(y_hat * here)
                if level or len(parts) < len(TURNS):
                    asked = walk.send(parts[-1])
            rows, columns = shapes[level]
            decoded.insert(0, F.pixel_shuffle(assembled(parts), 2)[:, :, :rows, :columns] * steps[level])
        low_hat = join_coarse(Bands(low * low_step, decoded[SMOOTH_LEVELS:]), *smooth.low.shape[2:])
        return bits, self.recompose(Bands(low_hat, decoded[:SMOOTH_LEVELS]), cond)

    def _quantized(
        self, y: Tensor, asked: Prediction, error_bits: Tensor, noise: Noise | None, early: bool
    ) -> tuple[Tensor, Tensor]:
        """Bits of each coefficient, and the coefficient as decoded."""
        scale = predicted_scale(asked)
        residual = y - asked.means
        if noise is not None:
            shaken = residual + noise(residual.shape)
        if noise is not None and early:
            means = asked.means.detach()
            return -torch.log2(likelihood(shaken, scale)), round_ste(y - means) + means
        with torch.no_grad():
            k = decided(residual, scale, error_bits)
        bits = -torch.log2(likelihood(k, scale))
        if noise is not None:
            # Of quantized zeros the likelihood has no slope, so that finer steps would seem to cost nothing.
            soft = torch.log2(likelihood(shaken, scale.detach()))
            bits = bits + (soft.detach() - soft)
        # The value is k + mean; the gradient goes to the coefficient as if nothing were quantized, and to the mean.
        y_hat = k + asked.means + (y - y.detach())
        return bits, y_hat


def predicted_scale(asked: Prediction) -> Tensor:
    """The scales of a prediction in steps, within what the tables cover."""
    return torch.exp(asked.scales.clamp(math.log(SCALE_MIN), math.log(SCALE_MAX)))


def decided(residual: Tensor, scale: Tensor, error_bits: Tensor) -> Tensor:
    """Quantized residuals: the nearest whole number, the next one inwards or zero, whichever is cheapest."""
    nearest = torch.round(residual)
    best, cost = nearest, None
    for k in (nearest, nearest - torch.sign(nearest), torch.zeros_like(nearest)):
        value = error_bits * (residual - k) ** 2 - torch.log2(likelihood(k, scale))
        if cost is None:
            cost = value
            continue
        better = value < cost
        best, cost = torch.where(better, k, best), torch.where(better, value, cost)
    return best


def round_ste(x: Tensor) -> Tensor:
    """Rounding whose gradient is that of the identity."""
    return x + (torch.round(x) - x).detach()


def from_weights(weights: dict[str, Tensor], metadata: dict[str, str]) -> WaveletModel:
    """A model in evaluation mode from its trained tensors and the metadata of their file.

    Raises
    ------
    InputError
        Sizes that are none, tensors missing, superfluous, of another shape, or not finite.
    """
    try:
        widths, depths = (tuple(int(n) for n in metadata[name].split(",")) for name in ("widths", "depths"))
        config = WaveletConfig(widths, depths, int(metadata["correction"]))
    except (KeyError, ValueError):
        raise InputError("These weights do not say the sizes of their wavelet model: fetch them again.") from None
    # A file that claims a large model has to bring it, before memory is taken for one.
    claimed = sum(9 * width * width * depth for width, depth in zip(widths, depths, strict=True))
    if claimed > sum(tensor.numel() for tensor in weights.values()):
        raise InputError(f"These weights do not fit a wavelet model of widths {metadata['widths']}: fetch them again.")
    model = WaveletModel(config)
    wanted = model.state_dict()
    wrong = sorted(set(wanted) ^ set(weights)) or sorted(n for n in wanted if wanted[n].shape != weights[n].shape)
    if wrong:
        raise InputError(f"These weights do not fit a wavelet model of these sizes: see {', '.join(wrong[:3])}.")
    trained = {name: weights[name].float() for name in wanted}
    require_finite(trained)
    model.load_state_dict(trained)
    return model.eval()
