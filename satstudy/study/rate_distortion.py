"""The rate-distortion experiment: code every image with every setting, and keep each line as it is measured.

Codecs are compared in `satstudy.metrics.bd_rate`.
"""

from __future__ import annotations

import csv
import io
import math
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from satstudy.codecs import Codec
from satstudy.core.errors import InputError, SatstudyError
from satstudy.core.paths import atomic
from satstudy.core.types import Pixels
from satstudy.data.images import read_image
from satstudy.metrics import quality
from satstudy.metrics.bd_rate import KEY

COLUMNS = (
    "image", "codec", "setting", "bpp", "psnr", "ms_ssim", "encode_s", "decode_s", "bytes", "height", "width",
    "category",
)  # fmt: skip
TEXT = ("image", "codec", "setting", "category")

#: A path, or (name in the CSV, path or pixels, category).
Source = Path | str | tuple[str, Path | str | Pixels, str]


def _named(sources: Iterable[Source]) -> Iterator[tuple[str, Path | str | Pixels, str]]:
    """Sources with their names in the table; of a sequence all names are checked before the first is given.

    A bare path is called by its last two parts, which tell most trees' images apart and keep folders of the machine
    out of the results; by more of them where several would be called alike.

    Raises
    ------
    InputError
        Two sources of one name, or a name that a CSV cannot hold.
    """
    taken: set[str] = set()
    listed = isinstance(sources, Sequence)
    tails = _tails([Path(source) for source in sources if not isinstance(source, tuple)] if listed else [])

    def named(source: Source) -> tuple[str, Path | str | Pixels, str]:
        if isinstance(source, tuple):
            name, image, category = source
            remedy = "give (name, path, category) with names of their own"
        else:
            name, image, category = _tail(Path(source), tails.get(Path(source), 2)), source, ""
            remedy = "name each once"
        if "\n" in name or "\r" in name:
            raise InputError(f"{name!r} has a line break in its name: rename it.")
        if not name.isprintable() and any("\udc80" <= sign <= "\udcff" for sign in name):
            raise InputError(f"{name} has a name that is not UTF-8, which a table cannot hold: rename it.")
        if name in taken:
            raise InputError(f"Two images are called {name!r}: {remedy}.")
        taken.add(name)
        return name, image, category

    return iter([named(source) for source in sources]) if listed else map(named, sources)


def _tail(path: Path, parts: int) -> str:
    return "/".join(path.parts[-parts:])


def _tails(paths: Sequence[Path]) -> dict[Path, int]:
    """How many of its last parts tell each path from the others: two, or more where two do not."""
    parts = dict.fromkeys(paths, 2)
    for length in range(2, max((len(path.parts) for path in paths), default=0)):
        counts = Counter(_tail(path, count) for path, count in parts.items())
        alike = [path for path, count in parts.items() if counts[_tail(path, count)] > 1]
        parts |= dict.fromkeys(alike, length + 1)
    return parts


def read_frame(csv_path: Path | str) -> pd.DataFrame:
    """The frame that `evaluate` wrote; InputError where the file is another table."""
    try:
        numbers = {column: ["", "nan"] for column in COLUMNS if column not in TEXT}
        frame = pd.read_csv(
            csv_path,
            dtype=dict.fromkeys(TEXT, str),
            keep_default_na=False,
            na_values=numbers,
            float_precision="round_trip",
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{csv_path} cannot be read as a table ({error}): check the name.") from None
    if list(frame.columns) != list(COLUMNS):
        raise _no_table(csv_path)
    return frame


def _no_table(path: Path | str) -> InputError:
    return InputError(f"{path} is no rate-distortion table: expected the columns {', '.join(COLUMNS)}.")


def _open_csv(path: Path, resume: bool) -> pd.DataFrame:
    """What is measured already; the file exists afterwards and ends with a whole line."""
    text = path.read_bytes() if resume and path.exists() else b""
    head = (",".join(COLUMNS) + "\n").encode()
    if not head.startswith(text) and text.partition(b"\n")[0].strip() != head.strip():
        raise _no_table(path)  # before its last line is cut
    whole = text[: text.rfind(b"\n") + 1] or head  # a run that was killed can leave half a line
    if whole != text:
        with atomic(path) as temporary:
            temporary.write_bytes(whole)
    return read_frame(path)


def _measure(codec: Codec, name: str, image: Pixels, category: str, ms_ssim: bool) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        data = codec.encode(image)
        middle = time.perf_counter()
        decoded = codec.decode(data)
    except SatstudyError as error:
        raise type(error)(f"{name} with {codec.name} {codec.setting}: {error}") from None
    end = time.perf_counter()
    if decoded.shape != image.shape:
        raise SatstudyError(f"{codec.name} {codec.setting} turned {name} from {image.shape} into {decoded.shape}.")
    height, width = image.shape[:2]
    return {
        "image": name,
        "codec": codec.name,
        "setting": codec.setting,
        "bpp": quality.bpp(len(data), height, width),
        "psnr": quality.psnr(image, decoded),
        "ms_ssim": quality.ms_ssim(image, decoded) if ms_ssim else math.nan,
        "encode_s": round(middle - start, 6),
        "decode_s": round(end - middle, 6),
        "bytes": len(data),
        "height": height,
        "width": width,
        "category": category,
    }


def wrapping(codec: Codec) -> int:
    """Bytes of the file that codes a grey image of 64×64 pixels: what the format needs besides the image.

    Headers that grow with the image, such as JPEG's optimized tables, count as the image's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a rate that JPEG 2000 cannot reach
        return len(codec.encode(np.full((64, 64, 3), 128, np.uint8)))


@dataclass(frozen=True)
class Variant:
    """A codec under a name of its own, for a table that compares several efforts of it."""

    name: str
    codec: Codec

    @property
    def setting(self) -> str:
        return self.codec.setting

    def encode(self, image: Pixels) -> bytes:
        return self.codec.encode(image)

    def decode(self, data: bytes) -> Pixels:
        return self.codec.decode(data)


def evaluate(
    images: Iterable[Source],
    codecs: Sequence[Codec],
    csv_path: Path | str,
    *,
    progress: bool = True,
    resume: bool = True,
    ms_ssim: bool = True,
    unusable: list[str] | None = None,
) -> pd.DataFrame:
    """Code each image with each codec and setting, and measure rate, distortion and time.

    A line is appended to `csv_path` as soon as it is measured. A run that was interrupted goes on where it
    stopped: what stands there under the same (image, codec, setting) is taken and not measured again. Give
    other weights another file, since a setting does not name them.

    Parameters
    ----------
    images : paths, or (name, path or `uint8 (h, w, 3)`, category). A bare path is named by its folder and file, or by
        more of its folders where several would have one name, and has no category
    codecs : each with a name and setting of its own
    resume : False starts the file afresh
    ms_ssim : measure MS-SSIM too, which takes about 1 s a megapixel; nan otherwise
    unusable : gets why an image cannot be read, and the run goes on without it; without such a list the run stops

    Returns
    -------
    DataFrame
        `COLUMNS`, image by image in the order given; only these images and codecs, whatever else the file holds.
        `ms_ssim` is nan below 161 px a side, `psnr` inf where nothing was lost

    Raises
    ------
    InputError
        No image, two images or two codecs of one name, an image a format cannot hold, or a file that is another table.
    """
    names = [(codec.name, codec.setting) for codec in codecs]
    if not names or len(set(names)) < len(names):
        raise InputError("Give one codec or more, each with its own name and setting.")
    named = _named(images)
    path = Path(csv_path)
    before = _open_csv(path, resume)
    known = set(before[KEY].itertuples(index=False, name=None))
    sizes = dict(zip(before["image"], zip(before["height"], before["width"], strict=True), strict=True))
    order: dict[str, None] = {}
    total = len(images) * len(codecs) if isinstance(images, Sized) else None
    with (
        path.open("a", newline="", encoding="utf-8") as file,
        tqdm(total=total, disable=not progress, unit="coding", desc="rate-distortion") as bar,
    ):
        for name, source, category in named:
            order[name] = None
            missing = [codec for codec in codecs if (name, codec.name, codec.setting) not in known]
            if bar.total is not None:
                bar.total -= len(codecs) - len(missing)  # what is done already would spoil the time left
            try:
                image = (source if isinstance(source, np.ndarray) else read_image(source)) if missing else None
            except InputError as error:
                if unusable is None:
                    raise
                unusable.append(str(error))
                del order[name]
                continue
            if image is not None and sizes.get(name, image.shape[:2]) != image.shape[:2]:
                raise InputError(
                    f"{path} holds another image called {name!r}, of another size: give a file of its own."
                )
            for codec in missing:
                assert image is not None
                line = io.StringIO()
                csv.DictWriter(line, COLUMNS, lineterminator="\n").writerow(
                    _measure(codec, name, image, category, ms_ssim)
                )
                file.write(line.getvalue())
                file.flush()
                bar.update()
    if not order:
        raise InputError(unusable[0] if unusable else "No image was given: name files, a folder or pixels.")
    frame = read_frame(path).set_index(KEY, drop=False)
    return frame.loc[[(name, *codec) for name in order for codec in names]].reset_index(drop=True)
