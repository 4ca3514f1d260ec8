"""The report as one HTML page that holds everything itself: no script, style or picture from elsewhere."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from train.evaluation.records import ScanRecord, scan_pictures
from train.evaluation.scores import METRICS
from train.evaluation.summary import PhaseSummary
from train.evaluation.systems import Candidate
from train.evaluation.tables import tables
from train.evaluation.viewer import (
    DEVIATION_GAIN,
    SOURCE_IMAGE,
    TARGET_IMAGE,
    byte_hu,
    deviation_image,
    picture_path,
    system_image,
)

_MOST_PICTURE_BYTES = 24 * 1024 * 1024
"""Of all PNGs in the page; scans beyond are left out and the page says so."""

_CAPTIONS = (
    ("metrics", "Every case as a tick, the mean as a dot, its 95 % interval as a bar."),
    ("recovery", "Share of the true enhancement that a system gives back, by organ; 1 is right. Bars: 95 % interval."),
    ("organs", "Mean HU of every organ in every case, synthetic against acquired."),
    ("noise_power", "Noise texture in homogeneous soft tissue: radial noise-power spectra, mean over cases."),
    (
        "calibration",
        "Error of the samples' mean by their standard deviation. The error holds the acquired scan's own noise too.",
    ),
)


def render(
    *,
    introduction: str,
    notes: Sequence[str],
    summaries: Sequence[PhaseSummary],
    figures: Mapping[str, str],
    viewer: Mapping[str, Any] | None,
    systems: Sequence[Candidate],
) -> str:
    """The page; ``figures``: name → SVG, ``viewer``: see `viewer_data`."""
    environment = Environment(
        loader=PackageLoader("train.evaluation"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("report.html").render(
        introduction=introduction,
        notes=notes,
        phases=[{"name": summary.phase, "tables": tables(summary)} for summary in summaries],
        figures=[
            {"caption": text, "source": _data_uri(figures[name].encode(), "svg+xml")}
            for name, text in _CAPTIONS
            if name in figures
        ],
        metrics=METRICS,
        viewer=viewer,
        systems=[system for system in systems if system.identity],
    )


def viewer_data(records: Sequence[ScanRecord], systems: Sequence[Candidate], folder: Path) -> dict[str, Any] | None:
    """What the page's script reads: scans with their images, every picture once; ``None`` without pictures.

    ``folder`` is the evaluation's output, which keeps the pictures.
    """
    sprites: dict[str, str] = {}
    scans: list[dict[str, Any]] = []
    total = left_out = 0
    for record in records:
        if not record.sheets:
            continue
        images = _images(record, systems)
        pictures = {
            (image, sheet.plane): picture_path(
                scan_pictures(folder, record.case, record.phase), image, sheet.plane
            ).read_bytes()
            for _, image, _ in images
            for sheet in record.sheets
        }
        keys = {place: hashlib.sha256(data).hexdigest()[:16] for place, data in pictures.items()}
        new = {keys[place]: data for place, data in pictures.items() if keys[place] not in sprites}
        size = sum(len(data) for data in new.values())
        if total + size > _MOST_PICTURE_BYTES:
            left_out += 1
            continue
        total += size
        sprites.update({key: _data_uri(data, "png") for key, data in new.items()})
        scans.append(
            {
                "case": record.case,
                "phase": record.phase,
                "sheets": {
                    sheet.plane: {
                        "columns": sheet.columns,
                        "width": sheet.width,
                        "height": sheet.height,
                        "slices": list(sheet.slices),
                        "spacing": sheet.spacing_mm,
                    }
                    for sheet in record.sheets
                },
                "images": [
                    {
                        "label": label,
                        "gain": gain,
                        "sprites": {sheet.plane: keys[image, sheet.plane] for sheet in record.sheets},
                    }
                    for label, image, gain in images
                ],
            }
        )
    return {"hu": byte_hu(), "scans": scans, "sprites": sprites, "left_out": left_out} if scans else None


def _images(record: ScanRecord, systems: Sequence[Candidate]) -> list[tuple[str, int, int]]:
    """(label, number, gain) of a scan's images; a gain above 0 marks a standard deviation."""
    images = [("NCCT", SOURCE_IMAGE, 0), ("acquired", TARGET_IMAGE, 0)]
    for number, system in enumerate(systems):
        if system.kind == "identity" or system.label not in record.systems:
            continue
        images.append((system.label, system_image(number), 0))
        if record.systems[system.label].calibration is not None:
            images.append((f"{system.label}: standard deviation", deviation_image(number), DEVIATION_GAIN))
    return images


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
