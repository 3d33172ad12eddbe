"""The learned codec: images to `.sat` files and back, with three tilings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from satstudy.codecs.coding import bitstream
from satstudy.codecs.coding.bitstream import MAX_PATCH, MAX_PIXELS, MAX_SIDE, MAX_TILE, Container, Header
from satstudy.codecs.coding.engine import UNIT, Engine, EveryRateEngine, Latents, padded, unit_shape
from satstudy.codecs.coding.stitching import Weighting, assemble, blend
from satstudy.codecs.learned.checkpoint import NATURAL, Checkpoint
from satstudy.core.errors import InputError, WrongWeights
from satstudy.core.geometry import TILINGS, Grid, Rect, Span, Tiling, grid, spans
from satstudy.core.hardware import plain_defaults
from satstudy.core.types import Pixels
from satstudy.data.sources import ArraySource, MaskedSource, Source, masked, read

#: Default side in pixels of an entropy tile of `seamless`. The context model starts without context at its borders, so
#: smaller tiles take more bits; larger ones take more time, since their wavefront has more and shorter steps.
SEAMLESS_TILE = 1024

#: Limit of the number of steps of latent refinement.
MAX_REFINE = 10_000

#: Default side in pixels of a group of tiles; one group holds all patches of the paper's example.
GROUP_PIXELS = 2048


class LearnedCodec:
    """Images to `.sat` files and back, with one set of weights.

    Parameters
    ----------
    checkpoint : from `satstudy.codecs.learned.checkpoint.load`
    tiling : `independent`, patches side by side; `blend`, overlapping patches averaged (the paper);
        `seamless`, the result of one transform of the whole image, computed tile by tile with a halo
    patch : side in pixels, a multiple of 16, 256 by default; for `seamless` of an entropy tile, 1024 by default
    overlap : pixels, for `blend` alone (paper: 8)
    weighting : of `blend`, "mean" (the paper) or "ramp"
    lam : λ, for weights of every rate
    refine : steps of latent refinement (`satstudy.codecs.wavelet.refinement`, `satstudy.codecs.mbt2018.refinement`), 0
        for none; each takes one to three times as long as decoding
    device : where the networks run
    progress : show a bar with the time left

    Raises
    ------
    InputError
        A tiling, patch, overlap or number of steps that is not possible, or λ for weights of another λ.

    Examples
    --------
    >>> from satstudy.codecs.learned import checkpoint
    >>> codec = LearnedCodec(checkpoint.load(checkpoint.shipped()[0.0001]))
    >>> image = np.full((40, 60, 3), 128, np.uint8)
    >>> data = codec.encode(image)
    >>> codec.decode(data).shape, codec.decode(data, Window(8, 0, 16, 32)).shape
    ((40, 60, 3), (32, 16, 3))
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tiling: Tiling = "seamless",
        patch: int | None = None,
        overlap: int = 8,
        weighting: Weighting = "mean",
        *,
        lam: float | None = None,
        refine: int = 0,
        device: torch.device | str = "cpu",
        progress: bool = False,
    ):
        self._options = {
            "tiling": tiling, "patch": patch, "overlap": overlap, "weighting": weighting, "lam": lam, "refine": refine,
            "device": device, "progress": progress,
        }  # fmt: skip
        if tiling not in TILINGS:
            raise InputError(f"tiling = {tiling!r}: take one of {', '.join(TILINGS)}.")
        if weighting not in ("mean", "ramp"):
            raise InputError(f"weighting = {weighting!r}: take mean or ramp.")
        if patch is None:
            patch = SEAMLESS_TILE if tiling == "seamless" else 256
        largest = MAX_TILE if tiling == "seamless" else MAX_PATCH
        if not 16 <= patch <= largest or patch % UNIT:
            raise InputError(f"patch = {patch} must be a multiple of 16 between 16 and {largest} for {tiling}.")
        if tiling == "seamless" and patch < 64:
            raise InputError(f"patch = {patch} is too small for seamless tiles: take 64 or more.")
        if tiling == "blend" and not 0 <= overlap <= patch // 2:
            raise InputError(f"overlap = {overlap} must be between 0 and half the patch of {patch}.")
        if not 0 <= refine <= MAX_REFINE:
            raise InputError(f"refine = {refine} steps: take 1…{MAX_REFINE}, or 0 for none; 20 to 40 gain most of it.")
        self.checkpoint, self.tiling, self.patch = checkpoint, tiling, patch
        self.overlap = overlap if tiling == "blend" else 0
        self.weighting = weighting
        self.progress = progress
        self.refine = refine
        self.lam = checkpoint.lam if lam is None else lam
        with plain_defaults():
            self.fingerprint = checkpoint.fingerprint
            self.engine: Engine = checkpoint.engine(device, refine=refine, lam=lam)

    def at(self, lam: float) -> LearnedCodec:
        """The same codec at another λ, for weights that serve every rate; networks and tables are shared.

        Raises
        ------
        InputError
            Weights for one λ, or a λ outside of what files can name.
        """
        if not isinstance(self.engine, EveryRateEngine):
            raise InputError(f"{self.checkpoint.path} is for lam = {self.checkpoint.lam:g} alone: name other weights.")
        other = object.__new__(LearnedCodec)  # `copy` would prepare the networks again
        vars(other).update(vars(self))
        other.lam, other._options = lam, {**self._options, "lam": lam}
        other.engine = self.engine.at(lam)
        return other

    def __reduce__(self) -> Any:
        # Prepared networks and tables cannot be copied or pickled: a copy prepares them again.
        return _from_options, (self.checkpoint, self._options)

    @property
    def name(self) -> str:
        """`learned` for weights of every rate, else `mbt2018`; `-natural` if trained on natural images; `-refined`."""
        name = "learned" if self.checkpoint.serves_every_rate else "mbt2018"
        name += "-natural" if self.checkpoint.metadata.get("domain") == NATURAL else ""
        return f"{name}-refined" if self.refine else name

    @property
    def setting(self) -> str:
        """λ and, if any, the steps of refinement: "lam=0.013 refine=40"."""
        return f"lam={self.lam:g}" + (f" refine={self.refine}" if self.refine else "")

    # --- Encoding ---------------------------------------------------------------------------------------

    def _header(self, source: Source, notes: dict[str, Any] | None) -> Header:
        tiling = "blend-ramp" if self.tiling == "blend" and self.weighting == "ramp" else self.tiling
        group = max(1, min(64, GROUP_PIXELS // self.patch))
        with_mask = masked(source)
        return Header(
            source.height,
            source.width,
            tiling,
            self.patch,
            self.overlap,
            group,
            self.fingerprint,
            {} if notes is None else notes,
            with_mask.fill if with_mask else None,
            self.engine.lam_index,
        )

    @plain_defaults()
    def encode(self, image: Pixels | Source | MaskedSource, notes: dict[str, Any] | None = None) -> bytes:
        """The bytes of a `.sat` file.

        Parameters
        ----------
        image : uint8 (height, width, 3), or a `Source` that is read by windows; a `MaskedSource` has a validity mask,
            which is kept exactly
        notes : small JSON object that is stored in the file

        Raises
        ------
        InputError
            Not uint8 RGB, without pixels or too large, or notes that the file cannot hold.
        """
        source: Source = ArraySource(image) if isinstance(image, np.ndarray) else image
        if not hasattr(source, "height") or isinstance(source, PIL.Image.Image):
            raise InputError(f"An image is a NumPy array or a source, not {type(image).__name__}: convert it first.")
        if source.height < 1 or source.width < 1:
            raise InputError(
                f"An image of {source.height}×{source.width} pixels cannot be coded: it needs 1×1 or more."
            )
        header = self._header(source, notes)
        bitstream.pack_notes(header.notes)  # refuses notes that are too long before the work
        if not header.in_range():
            raise InputError(
                f"An image of {source.height}×{source.width} pixels is above the limit of {MAX_SIDE} a side: "
                "cut it into scenes."
            )
        streams = []
        with tqdm(total=len(header.layout()), desc="encode", unit="tile", disable=not self.progress) as bar:
            for tiles in header.groups():
                mask = b""
                if with_mask := masked(source):
                    area = header.group_area(tiles[0][0] // header.group, tiles[0][1] // header.group)
                    mask = bitstream.pack_mask(with_mask.valid(*area))
                streams.append(mask + self.engine.encode(list(self._analyse(source, header, tiles, bar))))
        return bitstream.write(header, streams)

    def _analyse(
        self, source: Source, header: Header, tiles: list[tuple[int, int]], bar: tqdm[Any]
    ) -> Iterator[Latents]:
        """Latents of the tiles of one group."""
        layout = header.layout()
        if header.tiling != "seamless":
            batch = (REFINED_BATCH if self.refine else BATCH).get(self.engine.device.type, 1)
            yield from _analyse_patches(self.engine, source, layout, tiles, batch, bar)
            return
        for at in tiles:
            yield _analyse_tile(self.engine, source, layout[at])
            bar.update()

    # --- Decoding ---------------------------------------------------------------------------------------

    def open(self, data: bytes | memoryview, max_pixels: int = MAX_PIXELS) -> Container:
        """Check the header of a file and its fingerprint.

        Raises
        ------
        DamagedFile, InputError
            From `satstudy.codecs.coding.bitstream.read`.
        WrongWeights
            The file was made with other weights.
        """
        try:
            view = memoryview(data)
        except TypeError:
            raise InputError(f"A file is given as its bytes, not as {type(data).__name__}: read it first.") from None
        file = bitstream.read(view, max_pixels)
        if file.header.fingerprint != self.fingerprint:
            raise WrongWeights(
                f"This file was made with weights {file.header.fingerprint.hex()} and these are "
                f"{self.fingerprint.hex()} ({self.checkpoint.name}): decode it with the weights it was made with."
            )
        return file

    def decode(self, data: bytes | memoryview, window: Window | None = None, max_pixels: int = MAX_PIXELS) -> Pixels:
        """The image, or a window of it: uint8 (height, width, 3).

        Parameters
        ----------
        window : (x, y, width, height) in pixels; only the groups of tiles that overlap it are read
        max_pixels : refuse to decode more

        Raises
        ------
        DamagedFile, WrongWeights, InputError
            As `open`; also for a window outside the image.
        """
        file = self.open(data, MAX_SIDE**2 if window else max_pixels)
        window = check_window(window, file.header, max_pixels)
        bands = ((top - window.y, band) for top, band in self.bands(file, window))
        return assemble(window.height, window.width, bands)

    def bands(self, file: Container, window: Window | None = None) -> Iterator[tuple[int, Pixels]]:
        """Decode from top to bottom in bands of rows, so that the whole image is never in memory.

        Yields
        ------
        top : first row of the band, counted from the top of the whole image
        band : uint8 (rows, width of the window, 3)
        """
        header = file.header
        window = check_window(window, header, MAX_SIDE**2)
        layout = header.layout()
        rows = overlapping(layout.rows, window.y, window.height)
        columns = overlapping(layout.columns, window.x, window.width)
        latents = FileLatents(self.engine, file)
        bands = self._bands(latents, window, layout, rows, columns)
        while True:
            with plain_defaults():  # not while the caller works between two bands
                top, band = next(bands, (0, None))
                if band is None:
                    return
                if header.fill is not None:
                    valid = latents.valid(top, top + len(band), window.x, window.x + window.width)
                    bitstream.impose_mask(band, valid, header.fill)
            yield top, band

    def _bands(
        self, latents: FileLatents, window: Window, layout: Grid, rows: list[int], columns: list[int]
    ) -> Iterator[tuple[int, Pixels]]:
        """`bands` before pixels without data are set to their value."""
        header = latents.file.header
        with tqdm(total=len(rows) * len(columns), desc="decode", unit="tile", disable=not self.progress) as bar:
            if header.tiling == "seamless":
                yield from _seamless_bands(self.engine, latents, window, bar)
                return
            weighting: Weighting = "ramp" if header.tiling == "blend-ramp" else "mean"
            decoded = _decoded_patches(self.engine, latents, layout, rows, columns, bar)
            left = window.x - layout.columns[columns[0]][0]
            for top, band in blend(layout, decoded, weighting, rows, columns):
                first, last = max(top, window.y), min(top + len(band), window.y + window.height)
                if first < last:
                    yield first, band[first - top : last - top, left : left + window.width]


def _from_options(checkpoint: Checkpoint, options: dict[str, Any]) -> LearnedCodec:
    return LearnedCodec(checkpoint, **options)


class Window(NamedTuple):
    """A part of an image in pixels; (x, y) is its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def check_window(window: Window | None, header: Header, max_pixels: int) -> Window:
    """The window, or that of the whole image for None.

    Raises
    ------
    InputError
        The window is empty, leaves the image, or has more than `max_pixels`.
    """
    if window is None:
        return Window(0, 0, header.width, header.height)
    x, y, width, height = window
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > header.width or y + height > header.height:
        raise InputError(
            f"The window {x} {y} {width} {height} leaves the image of {header.width}×{header.height} (width×height): "
            "give X Y WIDTH HEIGHT within it."
        )
    if width * height > max_pixels:
        raise InputError(f"The window holds more than {max_pixels} pixels: take a smaller one, or raise the limit.")
    return window


def overlapping(parts: Sequence[Span], start: int, length: int) -> list[int]:
    """Indices of the spans that share a pixel with [start, start + length).

    >>> overlapping([(0, 256), (248, 504), (496, 752)], 250, 100)
    [0, 1]
    """
    return [i for i, (a, b) in enumerate(parts) if a < start + length and b > start]


class FileLatents:
    """Quantized latents and validity masks of a file; groups of tiles are decoded when they are first needed."""

    def __init__(self, engine: Engine, file: Container):
        self.engine, self.file = engine, file
        self.layout = file.header.layout()
        self.side = file.header.group
        self._groups: dict[tuple[int, int], dict[tuple[int, int], Latents]] = {}
        self._masks: dict[tuple[int, int], Pixels | None] = {}

    def forget(self, row: int) -> None:
        """Free the groups that lie above row `row` of pixels."""
        rows = self.layout.rows
        for key in list(self._groups):
            last = min((key[0] + 1) * self.side, len(rows)) - 1
            if -(-rows[last][1] // UNIT) * UNIT <= row:
                del self._groups[key], self._masks[key]

    def _load(self, key: tuple[int, int]) -> None:
        if key in self._groups:
            return
        header = self.file.header
        tiles = header.group_tiles(*key)
        patches = [self.layout[at] for at in tiles]
        shapes = [unit_shape(patch.height, patch.width) for patch in patches]
        stream, mask = self.file.stream(header.group_index(*key)), None
        if header.fill is not None:
            area = header.group_area(*key)
            mask, stream = bitstream.split_mask(stream, area.height, area.width)
        self._groups[key] = dict(zip(tiles, self.engine.decode(stream, shapes, header.lam_index), strict=True))
        self._masks[key] = mask

    def tile(self, i: int, j: int) -> Latents:
        """The latents of the tile in row `i` and column `j`."""
        key = (i // self.side, j // self.side)
        self._load(key)
        return self._groups[key][i, j]

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """The validity mask of a rectangle: bool (rows, columns)."""
        result = np.ones((bottom - top, right - left), bool)
        down, across = self.file.header.group_counts()
        span = self.side * (self.file.header.tile - self.file.header.overlap)
        # Overlapping groups have equal masks in the overlap; the later one is read.
        for i in range(min(top // span, down - 1), min((bottom - 1) // span, down - 1) + 1):
            for j in range(min(left // span, across - 1), min((right - 1) // span, across - 1) + 1):
                self._load((i, j))
                mask, area = self._masks[i, j], self.file.header.group_area(i, j)
                if mask is not None:
                    a, b = max(top, area.top), min(bottom, area.bottom)
                    c, d = max(left, area.left), min(right, area.right)
                    part = bitstream.unpack_mask(mask, a - area.top, b - area.top, c - area.left, d - area.left)
                    result[a - top : b - top, c - left : d - left] = part
        return result

    def region(self, top: int, bottom: int, left: int, right: int, halo: int) -> tuple[Latents, int, int]:
        """The latents of a rectangle of pixels with a halo, which ends at the borders of the image.

        Returns
        -------
        region : tensors (channels, rows, columns)
        y, x : its first pixel
        """
        header = self.file.header
        rows, columns = unit_shape(header.height, header.width)
        a, b = max(0, top // UNIT * UNIT - halo), min(rows * UNIT, -(-bottom // UNIT) * UNIT + halo)
        c, d = max(0, left // UNIT * UNIT - halo), min(columns * UNIT, -(-right // UNIT) * UNIT + halo)
        side = header.tile
        lines = []
        for i in range(a // side, -(-b // side)):
            line = []
            for j in range(c // side, -(-d // side)):
                vertical, across = (max(0, a - i * side), b - i * side), (max(0, c - j * side), d - j * side)
                line.append(cut(self.tile(i, j), self.engine.strides, vertical, across))
            lines.append(_joined(line, dim=2))
        return _joined(lines, dim=1), a, c


def cut(latents: Latents, strides: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Latents:
    """The latents of the pixels [first, last) along both axes; `first` is a multiple of the strides."""
    return tuple(
        y[:, rows[0] // s : -(-rows[1] // s), columns[0] // s : -(-columns[1] // s)]
        for y, s in zip(latents, strides, strict=True)
    )


def _joined(parts: Sequence[Latents], dim: int) -> Latents:
    return tuple(torch.cat(tensors, dim=dim) for tensors in zip(*parts, strict=True))


#: Patches per batch of a transform: on a CPU more take memory and save no time, except for refinement.
BATCH, REFINED_BATCH = {"cpu": 1, "cuda": 16}, {"cpu": 4, "cuda": 16}


def _analyse_patches(
    engine: Engine, source: Source, layout: Grid, tiles: list[tuple[int, int]], batch: int, bar: tqdm[Any]
) -> Iterator[Latents]:
    """Latents of the patches `tiles`, in this order, up to `batch` at once."""
    waiting: list[Tensor] = []
    for index, at in enumerate(tiles):
        waiting.append(padded(read(source, *layout[at])))
        # Patches of one shape share a batch.
        last = index + 1 == len(tiles) or _size(layout, *tiles[index + 1]) != _size(layout, *at)
        if last or len(waiting) == batch:
            yield from engine.analysis(torch.stack(waiting))
            bar.update(len(waiting))
            waiting.clear()


def _decoded_patches(
    engine: Engine, latents: FileLatents, layout: Grid, rows: list[int], columns: list[int], bar: tqdm[Any]
) -> Iterator[NDArray[np.float32]]:
    """Decoded patches, float32 (height, width, 3) in [0, 255], row by row."""
    together = BATCH.get(engine.device.type, 1)
    for i in rows:
        latents.forget(layout.rows[i][0])
        start = 0
        while start < len(columns):
            shape = _size(layout, i, columns[start])
            batch = [j for j in columns[start : start + together] if _size(layout, i, j) == shape]
            pixels = engine.synthesis([latents.tile(i, j) for j in batch], latents.file.header.lam_index).cpu()
            for part in pixels:
                yield part[: shape[0], : shape[1]].numpy()
            start += len(batch)
            bar.update(len(batch))


def _size(layout: Grid, i: int, j: int) -> tuple[int, int]:
    patch = layout[i, j]
    return patch.height, patch.width


def _analyse_tile(engine: Engine, source: Source, tile: Rect) -> Latents:
    """The latents of one tile, equal to those of an analysis of the whole image."""
    halo = engine.analysis_halo
    lines = []
    for a, b in spans(tile.height, engine.piece, 0):
        top, bottom = max(0, tile.top + a - halo), min(source.height, tile.top + b + halo)
        line = []
        for c, d in spans(tile.width, engine.piece, 0):
            left, right = max(0, tile.left + c - halo), min(source.width, tile.left + d + halo)
            whole = engine.analysis(padded(read(source, top, bottom, left, right))[None])[0]
            y, x = tile.top + a - top, tile.left + c - left
            height, width = (side * UNIT for side in unit_shape(b - a, d - c))
            line.append(cut(whole, engine.strides, (y, y + height), (x, x + width)))
        lines.append(_joined(line, dim=2))
    return _joined(lines, dim=1)


def _seamless_bands(
    engine: Engine, latents: FileLatents, window: Window, bar: tqdm[Any]
) -> Iterator[tuple[int, Pixels]]:
    """Bands of the window; each piece is synthesized with its halo.

    Yields
    ------
    top : first row of the band, counted from the top of the whole image
    band : uint8 (rows, width of the window, 3)
    """
    header = latents.file.header
    pieces = grid(header.height, header.width, engine.piece, 0)
    rows = overlapping(pieces.rows, window.y, window.height)
    columns = overlapping(pieces.columns, window.x, window.width)
    bar.reset(len(rows) * len(columns))
    for i in rows:
        top, bottom = pieces.rows[i]
        first, last = max(top, window.y), min(bottom, window.y + window.height)
        latents.forget(top // UNIT * UNIT - engine.synthesis_halo)
        band = np.empty((last - first, window.width, 3), np.uint8)
        for j in columns:
            left, right = pieces.columns[j]
            start, end = max(left, window.x), min(right, window.x + window.width)
            region, y, x = latents.region(top, bottom, left, right, engine.synthesis_halo)
            pixels = engine.synthesis([region], header.lam_index)[0]
            inner = pixels[first - y : last - y, start - x : end - x]
            band[:, start - window.x : end - window.x] = inner.round().to(torch.uint8).cpu().numpy()
            bar.update()
        yield first, band
