"""HU as pictures: PNG, in a window or as change."""

from io import BytesIO

import numpy as np
from PIL import Image


def draw(hu: np.ndarray, *, center: float, width: float, aspect: float) -> bytes:
    """``(h, w)`` HU as a grey PNG (VOI window of PS3.3 C.11.2.1.2, linear-exact).

    ``aspect`` is the height over the width of a pixel; the picture's are square.
    """
    grey = np.clip((hu.astype(np.float32) - center) / width + 0.5, 0.0, 1.0)
    return _png(np.rint(grey * 255).astype(np.uint8), aspect)


def draw_change(change_hu: np.ndarray, *, width: float, aspect: float) -> bytes:
    """``(h, w)`` change in HU as a PNG: orange where it is above, blue where it is below, black where there is none."""
    strength = np.clip(change_hu.astype(np.float32) / (width / 2), -1.0, 1.0)
    more, less = np.maximum(strength, 0.0), np.maximum(-strength, 0.0)
    colours = np.stack([255 * more, 140 * more + 150 * less, 255 * less], axis=-1)
    return _png(np.rint(colours).astype(np.uint8), aspect)


def _png(pixels: np.ndarray, aspect: float) -> bytes:
    image = Image.fromarray(pixels)
    if abs(aspect - 1.0) > 1e-3:
        rows, columns = pixels.shape[:2]
        size = (columns, max(1, round(rows * aspect))) if aspect > 1 else (max(1, round(columns / aspect)), rows)
        image = image.resize(size, Image.Resampling.BILINEAR)
    stream = BytesIO()
    image.save(stream, format="PNG", compress_level=1)
    return stream.getvalue()
