"""What ``prepare`` would do with a tree, as a table and as pictures, before anything is registered."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from s2ldm_core.errors import S2LDMError
from s2ldm_core.files import atomic_file, replace_text
from train.errors import TrainError
from train.prepare.pipeline import Found
from train.prepare.scan import middle_slice
from train.prepare.series import Series

FOLDER: Final = "dry-run"
TABLE: Final = "series.csv"
_ACROSS, _DOWN = 6, 5
_INCHES: Final = 2.2
_COLOURS: Final = {True: "#7fd27f", False: "#e08080"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One series: what phase it has and why, and what becomes of it: ``paired``, or the code and the reason why not."""

    patient: str
    study: str
    series: str
    phase: str
    why: str
    outcome: str
    reason: str

    @property
    def paired(self) -> bool:
        return self.outcome == "paired"


def rehearsed(found: Found) -> list[tuple[Row, Series]]:
    """A row for every series of the tree, those of a patient together."""
    paired = {one.series.key for it in found.pairings for one in (it.native, *it.contrasts.values())}
    refused: dict[str, list[tuple[str, str]]] = {}
    for one in found.rejections:
        refused.setdefault(one.place, []).append((one.code, one.reason))
    rows = []
    for candidate, verdict in found.judged:
        series = candidate.series
        reasons = refused.get(series.name, [])
        code, reason = ("paired", "") if series.key in paired else reasons.pop(0) if reasons else ("not_chosen", "")
        row = Row(
            patient=candidate.patient,
            study=candidate.study,
            series=series.name,
            phase=verdict.phase or "",
            why=verdict.reason,
            outcome=code,
            reason=reason,
        )
        rows.append((row, series))
    return sorted(rows, key=lambda item: (item[0].patient, item[0].study, item[0].series))


def write_rehearsal(output: Path, rows: Sequence[tuple[Row, Series]], *, studies: Path) -> list[Path]:
    """Write ``dry-run/series.csv`` and contact sheets of the middle slice of every series; both hold the user's folder names.

    Returns
    -------
    list of Path
        The table, then the sheets.
    """
    folder = output / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("sheet-*.png"):
        old.unlink()
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(Row.__dataclass_fields__))
    writer.writeheader()
    writer.writerows(asdict(row) for row, _ in rows)
    replace_text(folder / TABLE, table.getvalue())
    shown = [(row, series) for row, series in rows if not series.fault and series.axial]
    each = _ACROSS * _DOWN
    sheets = []
    for number, start in enumerate(range(0, len(shown), each), start=1):
        path = folder / f"sheet-{number:03d}.png"
        _sheet(path, shown[start : start + each], studies)
        sheets.append(path)
    return [folder / TABLE, *sheets]


def _sheet(path: Path, rows: Sequence[tuple[Row, Series]], studies: Path) -> None:
    down = -(-len(rows) // _ACROSS)
    figure = Figure(figsize=(_ACROSS * _INCHES, down * (_INCHES + 0.5)), dpi=90, facecolor="black")
    FigureCanvasAgg(figure)
    places = np.ravel(figure.subplots(down, _ACROSS, squeeze=False))
    for place in places:
        place.set_axis_off()
    for place, (row, series) in zip(places, rows, strict=False):
        told = f"{row.series[-34:]}\n{row.phase or '?'}: {row.outcome}"
        place.set_title(told, color=_COLOURS[row.paired], fontsize=7)
        try:
            hu, (dy, dx) = middle_slice(series, root=studies)
        except (S2LDMError, TrainError):  # the table says why
            continue
        place.imshow(hu, cmap="gray", vmin=-150, vmax=350, aspect=dy / dx)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.93, wspace=0.03, hspace=0.25)
    with atomic_file(path, durable=False) as file:
        figure.savefig(file, format="png", facecolor="black")
