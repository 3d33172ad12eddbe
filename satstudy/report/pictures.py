"""Small pictures among the results, so that a figure can be drawn again where the images are not."""

from __future__ import annotations

import base64
import binascii
import io
import json
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


def save(path: Path | str, pictures: Mapping[str, Pixels], facts: Mapping[str, Any]) -> None:
    """Write pictures, losslessly, and facts about them as one JSON file.

    Parameters
    ----------
    pictures : name → uint8 (h, w, 3)
    facts : what else the figure needs
    """
    coded = {}
    for name, picture in pictures.items():
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", optimize=True)
        coded[name] = base64.b64encode(file.getvalue()).decode()
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({"facts": facts, "png": coded}, indent=1, default=float) + "\n")


def load(path: Path | str) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """What `save` wrote.

    Raises
    ------
    InputError
        Damaged, or no such file.
    """
    pictures = {}
    try:
        content = json.loads(Path(path).read_text())
        for name, text in content["png"].items():
            image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"])
            if image.width * image.height > MAX_PIXELS or image.mode != "RGB":
                raise ValueError(f"{name} is {image.mode} of {image.width}×{image.height}")
            pictures[name] = np.array(image)
        return pictures, dict(content["facts"])
    except (OSError, KeyError, TypeError, AttributeError, ValueError, binascii.Error) as error:
        raise InputError(f"{path} holds no pictures ({error}): run the notebook that writes it.") from None
