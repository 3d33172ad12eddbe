"""The array types that the package passes around.

They are for type checkers: NumPy takes a third of a second to import, and `satstudy info` does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    #: An image or a part of one: uint8 (height, width, 3), RGB.
    Pixels = NDArray[np.uint8]
    #: Which pixels of an image have data: bool (height, width).
    Mask = NDArray[np.bool_]
    #: Numbers to compute with: float64, of any shape.
    Floats = NDArray[np.float64]
else:
    Pixels = Mask = Floats = Any
