"""What is kept of every scan: one JSON file each, written when its systems are all scored, so that an interrupted evaluation continues."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from s2ldm_core.files import replace_text
from train.errors import TrainError
from train.evaluation.uncertainty import Calibration
from train.evaluation.viewer import Sheet

_SETTINGS, _SCANS = "evaluation.json", "scans"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OrganRecord(_Record):
    """One organ of one scan."""

    voxels: int
    source_hu: float
    target_hu: float


class SystemRecord(_Record):
    """One system's answer to one scan."""

    values: dict[str, float | None]
    organ_hu: dict[str, float]
    power: tuple[float, ...] | None
    """Radial noise-power spectrum, HU² mm²."""
    seconds: float
    """Wall time of the answer (all samples together where it is their mean)."""
    calibration: Calibration | None = None
    refusal: str = ""
    """Why a node refuses this answer; empty: it does not."""


class ScanRecord(_Record):
    """One case in one phase."""

    case: str
    patient: str
    phase: str
    organs: dict[str, OrganRecord]
    frequency_per_mm: tuple[float, ...] | None
    power: tuple[float, ...] | None
    """The target's."""
    systems: dict[str, SystemRecord]
    sheets: tuple[Sheet, ...] = ()
    """Layout of the scan's pictures; empty where none are kept."""


class RecordFolder:
    """``<folder>/scans/<case>.<phase>.json`` and the pictures beside them.

    Raises
    ------
    TrainError
        ``evaluation_differs`` when the folder holds scores of other data, systems or settings.
    """

    def __init__(self, folder: Path, *, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._scans = folder / _SCANS
        self._scans.mkdir(parents=True, exist_ok=True)
        plain = json.loads(json.dumps(settings))
        path = folder / _SETTINGS
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != plain:
            raise TrainError(
                "evaluation_differs",
                f"{folder} holds an evaluation of other data, systems or settings (see {_SETTINGS} there).",
                "Name another output folder, or remove that one.",
            )
        replace_text(path, json.dumps(plain, indent=1))

    def load(self, case: str, phase: str) -> ScanRecord | None:
        """The record of a scan; ``None`` when it is still to be scored.

        Raises
        ------
        TrainError
            ``record_damaged``.
        """
        path = self._path(case, phase)
        if not path.is_file():
            return None
        try:
            return ScanRecord.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise TrainError(
                "record_damaged", f"{path} cannot be read.", "Remove this file; its scan is then scored again."
            ) from error

    def save(self, record: ScanRecord) -> None:
        replace_text(self._path(record.case, record.phase), record.model_dump_json(indent=1))

    def pictures(self, case: str, phase: str) -> Path:
        """Folder of a scan's pictures; write them before the record."""
        return scan_pictures(self._folder, case, phase)

    def _path(self, case: str, phase: str) -> Path:
        return self._scans / f"{case}.{phase}.json"


def scan_pictures(folder: Path, case: str, phase: str) -> Path:
    """Where an evaluation's ``folder`` keeps the pictures of a scan."""
    return folder / _SCANS / f"{case}.{phase}"
