"""The learned codec: transforms, exact entropy coding, and the three ways to cut an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from satstudy.codecs.learned import container, patches, seamless, validity
from satstudy.codecs.learned.checkpoint import NATURAL, Checkpoint
from satstudy.codecs.learned.container import MAX_PIXELS, Container
from satstudy.codecs.learned.entropy import EntropyCoder
from satstudy.codecs.learned.header import MAX_PATCH, MAX_SIDE, MAX_TILE, Header
from satstudy.codecs.learned.latents import FileLatents
from satstudy.codecs.learned.model import LATENT_STRIDE
from satstudy.codecs.learned.refinement import RefinedTransforms
from satstudy.codecs.learned.stitching import Grid, Weighting, assemble, blend
from satstudy.codecs.learned.transforms import Transforms
from satstudy.codecs.learned.windows import Window, check_window, touched
from satstudy.core.errors import InputError, WrongWeights
from satstudy.data.images import Pixels
from satstudy.data.sources import ArraySource, MaskedSource, Source, masked

Tiling = Literal["independent", "blend", "seamless"]

#: Side of an entropy tile of `seamless`. Contexts start cold at its borders, which costs bits: of two NAIP scenes 2 to
#: 15 % at 256 pixels and 1 to 7 % at 512 (λ of 0.013 to 0.0008). Of 2048² pixels of Blue Marble, 1024 takes 6 to 7 %
#: more bits than 2048, which needs a fifth more time: its wavefront has twice the steps, of half the width.
SEAMLESS_TILE = 1024
#: Pixels along one side of a group of tiles, which share a stream: all patches of the paper's example.
GROUP_PIXELS = 2048


class LearnedCodec:
    """Images to `.sat` files and back, with one set of weights.

    Parameters
    ----------
    checkpoint : from `satstudy.codecs.learned.checkpoint.load`
    tiling : `independent`, patches side by side; `blend`, overlapping patches averaged (the paper);
        `seamless`, every latent coded once and transforms that see across tile borders
    patch : side in pixels, a multiple of 16; 256 by default, 1024 for `seamless`, where it is the side of
        an entropy tile
    overlap : pixels, for `blend` alone; even the default of 8 is the paper's
    weighting : of `blend`, `mean` (the paper) or `ramp`
    refine : steps of latent refinement (`satstudy.codecs.learned.refinement`), none by default; each takes about as
        long as decoding, which stays as it is
    device : where the networks run
    carrier : torch.float32 or torch.float64 for the exact part; the files are the same
    progress : show a bar with the time left
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tiling: Tiling = "seamless",
        patch: int | None = None,
        overlap: int = 8,
        weighting: Weighting = "mean",
        *,
        refine: int = 0,
        device: torch.device | str = "cpu",
        carrier: torch.dtype = torch.float32,
        progress: bool = False,
    ):
        if tiling not in ("independent", "blend", "seamless"):
            raise InputError(f"tiling = {tiling!r}: take independent, blend or seamless.")
        if weighting not in ("mean", "ramp"):
            raise InputError(f"weighting = {weighting!r}: take mean or ramp.")
        if patch is None:
            patch = SEAMLESS_TILE if tiling == "seamless" else 256
        largest = MAX_TILE if tiling == "seamless" else MAX_PATCH
        if not 16 <= patch <= largest or patch % LATENT_STRIDE:
            raise InputError(f"patch = {patch} must be a multiple of 16 between 16 and {largest} for {tiling}.")
        if tiling == "seamless" and patch < 64:
            raise InputError(f"patch = {patch} is too small for seamless tiles: take 64 or more.")
        if tiling == "blend" and not 0 <= overlap <= patch // 2:
            raise InputError(f"overlap = {overlap} must be between 0 and half the patch of {patch}.")
        self.checkpoint, self.tiling, self.patch = checkpoint, tiling, patch
        self.overlap = overlap if tiling == "blend" else 0
        self.weighting = weighting
        self.progress = progress
        self.fingerprint = checkpoint.fingerprint
        self.refine = refine
        if refine:
            self.transforms: Transforms = RefinedTransforms(checkpoint.model, checkpoint.lam, refine, device)
        else:
            self.transforms = Transforms(checkpoint.model, device)
        self.entropy = EntropyCoder(checkpoint.model, checkpoint.tables, carrier, device)

    @property
    def name(self) -> str:
        """`learned`; `learned-natural` for weights trained on natural images; `-refined` with latent refinement."""
        name = "learned-natural" if self.checkpoint.metadata.get("domain") == NATURAL else "learned"
        return f"{name}-refined" if self.refine else name

    @property
    def setting(self) -> str:
        """What a table calls it."""
        return f"lam={self.checkpoint.lam:g}" + (f" refine={self.refine}" if self.refine else "")

    # --- Encoding ---------------------------------------------------------------------------------------

    def _header(self, source: Source, notes: dict[str, Any] | None) -> Header:
        tiling = "blend-ramp" if self.tiling == "blend" and self.weighting == "ramp" else self.tiling
        group = max(1, min(64, GROUP_PIXELS // self.patch))
        tells = masked(source)
        return Header(
            source.height,
            source.width,
            tiling,
            self.patch,
            self.overlap,
            group,
            self.fingerprint,
            notes or {},
            tells.fill if tells else None,
        )

    def encode(self, image: Pixels | Source | MaskedSource, notes: dict[str, Any] | None = None) -> bytes:
        """A whole `.sat` file.

        Parameters
        ----------
        image : uint8 (height, width, 3), or a `Source` that is read by windows; a `MaskedSource` keeps which
            pixels have no data
        notes : small JSON object kept with it

        Raises
        ------
        InputError
            No RGB image of 8 bits, or of no pixel.
        """
        source: Source = ArraySource(image) if isinstance(image, np.ndarray) else image
        if source.height < 1 or source.width < 1:
            raise InputError(
                f"An image of {source.height}×{source.width} pixels cannot be coded: it needs 1×1 or more."
            )
        header = self._header(source, notes)
        container.packed_notes(header.notes)  # too long ones are said before the work
        if not header.in_range():
            raise InputError(
                f"An image of {source.height}×{source.width} pixels is above the limit of {MAX_SIDE} a side: "
                "cut it into scenes."
            )
        streams = []
        with tqdm(total=len(header.layout()), desc="encode", unit="tile", disable=not self.progress) as bar:
            for tiles in header.groups():
                mask = b""
                if tells := masked(source):
                    area = header.group_area(tiles[0][0] // header.group, tiles[0][1] // header.group)
                    mask = validity.pack(tells.valid(*area))
                streams.append(mask + self.entropy.encode(list(self._analyse(source, header, tiles, bar)))[0])
        return container.write(header, streams)

    def _analyse(
        self, source: Source, header: Header, tiles: list[tuple[int, int]], bar: tqdm[Any]
    ) -> Iterator[Tensor]:
        """Latents float32 (M, rows, columns) of the tiles of one group."""
        layout = header.layout()
        if header.tiling != "seamless":
            yield from patches.analyse(self.transforms, source, layout, tiles, bar)
            return
        for at in tiles:
            yield seamless.analyse(self.transforms, source, layout[at])
            bar.update()

    # --- Decoding ---------------------------------------------------------------------------------------

    def open(self, data: bytes | memoryview, max_pixels: int = MAX_PIXELS) -> Container:
        """Check a file, and that it was made with these weights.

        Raises
        ------
        DamagedFile, InputError
            From `satstudy.codecs.learned.container.read`.
        WrongWeights
            Made with other weights.
        """
        file = container.read(data, max_pixels)
        if file.header.fingerprint != self.fingerprint:
            raise WrongWeights(
                f"This file was made with weights {file.header.fingerprint.hex()} and these are "
                f"{self.fingerprint.hex()} ({self.checkpoint.name}): decode it with the weights it was made with."
            )
        return file

    def decode(self, data: bytes | memoryview, window: Window | None = None, max_pixels: int = MAX_PIXELS) -> Pixels:
        """The image, or a window of it, as uint8 (height, width, 3).

        Only the groups that the window touches are read, so damage elsewhere does not matter to it.

        Raises
        ------
        DamagedFile, WrongWeights, InputError
            As `open`; also a window that leaves the image.
        """
        file = self.open(data, MAX_SIDE**2 if window else max_pixels)
        window = check_window(window, file.header, max_pixels)
        bands = ((top - window.y, band) for top, band in self.bands(file, window))
        return assemble(window.height, window.width, bands)

    def bands(self, file: Container, window: Window | None = None) -> Iterator[tuple[int, Pixels]]:
        """Decode from top to bottom without holding the image.

        Yields
        ------
        top : first row of the band, counted from the top of the whole image
        band : uint8 (rows, width of the window, 3)
        """
        header = file.header
        window = check_window(window, header, MAX_SIDE**2)
        layout = header.layout()
        rows, columns = touched(layout.rows, window.y, window.height), touched(layout.columns, window.x, window.width)
        latents = FileLatents(self.entropy, file)
        for top, band in self._bands(latents, window, layout, rows, columns):
            if header.fill is not None:
                valid = latents.valid(top, top + len(band), window.x, window.x + window.width)
                validity.impose(band, valid, header.fill)
            yield top, band

    def _bands(
        self, latents: FileLatents, window: Window, layout: Grid, rows: list[int], columns: list[int]
    ) -> Iterator[tuple[int, Pixels]]:
        """What the networks make of a window, before pixels without data are set to their value."""
        header = latents.file.header
        with tqdm(total=len(rows) * len(columns), desc="decode", unit="tile", disable=not self.progress) as bar:
            if header.tiling == "seamless":
                yield from seamless.bands(self.transforms, latents, window, bar)
                return
            weighting: Weighting = "ramp" if header.tiling == "blend-ramp" else "mean"
            decoded = patches.decoded(self.transforms, latents, layout, rows, columns, bar)
            left = window.x - layout.columns[columns[0]][0]
            for top, band in blend(layout, decoded, weighting, rows, columns):
                first, last = max(top, window.y), min(top + len(band), window.y + window.height)
                if first < last:
                    yield first, band[first - top : last - top, left : left + window.width]
