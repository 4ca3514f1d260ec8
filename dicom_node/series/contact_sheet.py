"""A picture of series and of what would happen to them: sections with lengths as in the patient, and a line for each route."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dicom_node.config import Route
from dicom_node.series.candidate import Candidate
from dicom_node.series.headers import read_headers
from dicom_node.series.planes import Section, loose_slices, sections
from s2ldm_core.errors import GeometryError, VolumeError
from s2ldm_core.io.frames import frame_number
from s2ldm_core.io.header import texts

#: So many series are drawn; more would be no picture to look at.
MAX_SERIES = 12

_WINDOW_HU = (-160.0, 240.0)
_AXIAL = 6
_LONGEST_PX = 300
_WIDTH_PX = 1400
_GAP_PX = 8
_TEXT_PX = 14
_LINE_PX = 20
_LINE_CHARACTERS = 180
_GREY, _GOOD, _BAD = (190, 190, 190), (120, 220, 120), (240, 130, 110)


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """One series of the picture: its files, its heading, and for every route a line and whether it would be translated."""

    files: Sequence[Path]
    heading: str
    lines: Sequence[tuple[str, bool]]


def draw_contact_sheet(series: Sequence[Pictured], path: Path) -> None:
    """Write a PNG of `MAX_SERIES` series at most.

    Every panel of a series has the same scale, so that lengths can be compared across planes; the window is -160 to 240 HU.
    """
    blocks = [_block(one) for one in series[:MAX_SERIES]]
    sheet = Image.new("RGB", (_WIDTH_PX, sum(block.height for block in blocks)))
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    sheet.save(path, format="PNG")


def _block(series: Pictured) -> Image.Image:
    found, remark = _sections(series.files)
    longest_mm = max((max(one.size_mm) for one in found), default=1.0)
    panels = [(one.name, _panel(one, px_per_mm=_LONGEST_PX / longest_mm)) for one in found]
    rows = _rows(panels)
    said = [(series.heading, _GREY), *((line, _GOOD if good else _BAD) for line, good in series.lines), (remark, _GREY)]
    lines = [(part, colour) for text, colour in said for part in wrap(text, _LINE_CHARACTERS)]
    height = _GAP_PX + _LINE_PX * len(lines) + sum(_row_height(row) for row in rows) + _GAP_PX
    block = Image.new("RGB", (_WIDTH_PX, height))
    draw, font = ImageDraw.Draw(block), ImageFont.load_default(size=_TEXT_PX)
    top = _GAP_PX
    for line, colour in lines:
        draw.text((_GAP_PX, top), line, fill=colour, font=font)
        top += _LINE_PX
    for row in rows:
        left = _GAP_PX
        for name, panel in row:
            block.paste(panel, (left, top))
            draw.text((left, top + panel.height + 2), name, fill=_GREY, font=font)
            left += max(panel.width, int(draw.textlength(name, font=font))) + _GAP_PX
        top += _row_height(row)
    return block


def _sections(files: Sequence[Path]) -> tuple[list[Section], str]:
    """What can be drawn of a series, and what is to be said about it."""
    candidate = Candidate(read=read_headers(files), route=Route(phase="arterial"), min_slices=0)
    if not candidate.slices:
        return [], "There are no CT slices to draw."
    try:
        return sections(candidate.ordered_slices, candidate.geometry, axial=_AXIAL), ""
    except GeometryError as error:
        remark = f"No regular stack ({error.code}): images as they are stored."
    except VolumeError as error:
        return [], f"The images cannot be decoded ({error.code})."
    slices = [(path, frame_number(header)) for path, header in candidate.slices]
    return loose_slices(slices, [_spacing_mm(header) for header in candidate.slice_headers], most=_AXIAL), remark


def _spacing_mm(header: object) -> tuple[float, float]:
    try:
        rows, columns = map(float, texts(header, "PixelSpacing"))  # type: ignore[arg-type]
    except ValueError:
        return 1.0, 1.0
    return (rows, columns) if 0 < rows < np.inf and 0 < columns < np.inf else (1.0, 1.0)


def _panel(section: Section, *, px_per_mm: float) -> Image.Image:
    low, high = _WINDOW_HU
    grey = np.clip((section.hu.astype(np.float32) - low) / (high - low), 0.0, 1.0) * 255.0
    height, width = (max(1, round(size * px_per_mm)) for size in section.size_mm)
    return Image.fromarray(np.rint(grey).astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)


def _rows(panels: Sequence[tuple[str, Image.Image]]) -> list[list[tuple[str, Image.Image]]]:
    rows: list[list[tuple[str, Image.Image]]] = []
    left = _WIDTH_PX
    for name, panel in panels:
        width = max(panel.width, len(name) * _TEXT_PX // 2) + _GAP_PX
        if left + width > _WIDTH_PX:
            rows.append([])
            left = _GAP_PX
        rows[-1].append((name, panel))
        left += width
    return rows


def _row_height(row: Sequence[tuple[str, Image.Image]]) -> int:
    return max(panel.height for _, panel in row) + _LINE_PX + _GAP_PX
