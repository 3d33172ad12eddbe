"""Small pictures among the results, as PNG files, so that a figure can be drawn again where the images are not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.core.paths import atomic
from satstudy.core.types import Pixels

#: Pixels of a picture that may be read: these are crops.
MAX_PIXELS = 1 << 20
FACTS = "facts.json"


def save(folder: Path | str, pictures: Mapping[str, Pixels], facts: Mapping[str, Any]) -> None:
    """Write each picture as `<name>.png`, without loss, and the facts about them as `facts.json`.

    The facts name the pictures and are written last, so that a folder that is half written is refused by `load`.
    Pictures of an earlier `save` are removed.

    Parameters
    ----------
    pictures : name → uint8 (h, w, 3); letters, digits, dot, hyphen and underscore make a name
    facts : what else the figure needs
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in (folder / FACTS, *folder.glob("*.png")):
        old.unlink(missing_ok=True)
    for name, picture in pictures.items():
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise InputError(f"{name!r} is no name of a picture: take letters, digits, ., - and _.")
        with atomic(folder / f"{name}.png") as temporary:
            Image.fromarray(picture).save(temporary, "PNG", optimize=True)
    with atomic(folder / FACTS) as temporary:
        content = {"facts": facts, "pictures": list(pictures)}
        temporary.write_text(json.dumps(content, indent=1, default=float, ensure_ascii=False) + "\n", encoding="utf-8")


def load(folder: Path | str) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """The pictures and facts that `save` wrote.

    Raises
    ------
    InputError
        Missing, damaged, or larger than a crop.
    """
    folder = Path(folder)
    pictures = {}
    try:
        content = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        there = {path.stem: path for path in folder.glob("*.png")}  # no path is made of what a file says
        for name in content["pictures"]:
            with Image.open(there[name], formats=["PNG"]) as image:
                if image.width * image.height > MAX_PIXELS or image.mode != "RGB":
                    raise ValueError(f"{name} is {image.mode} of {image.width}×{image.height}")
                pictures[name] = np.array(image)
        return pictures, dict(content["facts"])
    except (
        OSError, KeyError, TypeError, AttributeError, ValueError, SyntaxError, RecursionError,
        Image.DecompressionBombError,
    ) as error:  # fmt: skip
        raise InputError(f"{folder} holds no pictures ({error}): run the notebook that writes them.") from None
