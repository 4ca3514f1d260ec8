"""A text as pixels: letters and the box around them."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: Below this many pixels a line of the bundled font cannot be read.
_SMALLEST_PX = 8
_USUAL_SMALLEST_PX = 10
_ROWS_PER_LINE = 24


def letterings(text: str, *, shape: tuple[int, int]) -> list[np.ndarray]:
    """The ways to write ``text`` that fit into a matrix, the most legible first.

    A line is about 1/24 of the rows high, at least 10 pixels, or three quarters of that; one word a line, which suits a
    corner, or all on one line. Matrices too small for any of these get the smallest size that can be read.

    Parameters
    ----------
    shape
        ``(H, W)`` of the matrix. A lettering takes no more than half of it.

    Returns
    -------
    list of ``(h, w)`` bool
        True on the letters, false in the box around them; empty when nothing legible fits.
    """
    rows, columns = shape
    usual = max(_USUAL_SMALLEST_PX, round(rows / _ROWS_PER_LINE))
    sizes = dict.fromkeys((usual, max(_USUAL_SMALLEST_PX, usual * 3 // 4), _SMALLEST_PX))
    layouts = dict.fromkeys((text.replace(" ", "\n"), text))
    found: list[np.ndarray] = []
    for size in sizes:
        if size < _USUAL_SMALLEST_PX and found:
            break
        for layout in layouts:
            letters = _drawn(layout, size_px=size)
            if letters.shape[0] <= rows // 2 and letters.shape[1] <= columns:
                found.append(letters)
    return found


def _drawn(text: str, *, size_px: int) -> np.ndarray:
    """``(h, w)`` bool; letters without half tones, which would look bolder the narrower the window."""
    font = ImageFont.load_default(size=size_px)
    draw = ImageDraw.Draw(Image.new("1", (1, 1)))
    spacing = max(1, size_px // 5)
    left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font, spacing=spacing)
    margin = max(2, size_px // 4)
    size = (int(np.ceil(right - left)) + 2 * margin, int(np.ceil(bottom - top)) + 2 * margin)
    image = Image.new("1", size)
    ImageDraw.Draw(image).multiline_text((margin - left, margin - top), text, font=font, fill=1, spacing=spacing)
    return np.asarray(image, dtype=bool)
