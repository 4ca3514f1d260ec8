"""What translation leaves behind for derivation: a folder with the synthetic HU and a record of how they came about.

``hu.npy`` holds ``(D, H, W)`` int16 (int32 when the range asks for it) on the source's grid, ``padding.npy`` the bool
mask of the source's pixel padding if there is any, ``uncertainty.npy`` the standard deviation of the synthetic HU's error
where it was asked for, ``translation.json`` the record. The record is written last, so a folder with one is complete.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dicom_node.errors import DeriveError
from dicom_node.private import FILE_MODE, FOLDER_MODE
from s2ldm_core.calibration import Calibration
from s2ldm_core.files import atomic_file, sync_folder
from s2ldm_core.problem import Problem
from s2ldm_core.translation import Translation

if TYPE_CHECKING:  # the node's own process loads no PyTorch
    from s2ldm_core.translator import Spread

RECORD_NAME = "translation.json"
_UNCERTAINTY_NAME = "uncertainty.npy"
_FORMAT = 1
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)
_OF_THE_JOB = ("device", "tile")
"""What derivation does not ask for: the job's details have it, and a node of the version before reads the record."""
_UNSAID: Mapping[str, object] = {"shares": {}, "contrast_dose": 1.0}
"""What a record leaves out, as a node of the version before does not know it."""


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """How far a synthetic volume may be from the truth.

    Attributes
    ----------
    hu
        ``(D, H, W)`` standard deviation of the error in HU, at least 0, on the source's grid; may be a memory map.
    calibration
        What the model's package says of it.
    """

    hu: np.ndarray
    calibration: Calibration

    @classmethod
    def of(cls, spread: "Spread | None", calibration: Calibration | None) -> Self | None:
        """What a model said beside its answer; None where it was not asked."""
        return None if spread is None or calibration is None else cls(hu=spread.hu, calibration=calibration)


@dataclass(frozen=True, kw_only=True)
class TranslationRecord:
    """How a synthetic volume was made, and which source instance each of its slices stands on.

    ``sop_instance_uids[k]`` is the source of slice ``k``, ``frames[k]`` which frame of it, from 1; ``frames`` is empty
    where no source is a multi-frame image. On disk the translation's facts stand beside them, not within.
    """

    translation: Translation
    sop_instance_uids: tuple[str, ...]
    frames: tuple[int | None, ...] = ()

    def save(
        self, folder: Path, *, hu: np.ndarray, padding: np.ndarray | None, uncertainty: Uncertainty | None = None
    ) -> Path:
        """Write HU, padding, uncertainty and then the record into ``folder``, each atomically; returns the record's path."""
        folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        _save_array(folder / "hu.npy", whole_hu(hu))
        if padding is not None and padding.any():
            _save_array(folder / "padding.npy", np.asarray(padding, dtype=bool))
        else:
            (folder / "padding.npy").unlink(missing_ok=True)
        if uncertainty is not None:
            _save_array(folder / _UNCERTAINTY_NAME, whole_hu(uncertainty.hu))
        path = folder / RECORD_NAME
        facts = {key: value for key, value in asdict(self.translation).items() if key not in _OF_THE_JOB}
        for name, unsaid in _UNSAID.items():
            if facts[name] == unsaid:
                del facts[name]
        values = {"format": _FORMAT, **facts, "sop_instance_uids": self.sop_instance_uids}
        if self.frames:
            values["frames"] = self.frames
        if uncertainty is not None:
            values["calibration"] = uncertainty.calibration.model_dump(mode="json", exclude={"training_data"})
        with atomic_file(path, mode=FILE_MODE) as file:
            file.write(json.dumps(values, indent=1).encode())
        sync_folder(folder)
        return path

    @classmethod
    def load(cls, path: Path) -> tuple[Self, np.ndarray, np.ndarray | None]:
        """Read a record with its HU and padding as memory maps.

        Raises
        ------
        DeriveError
            ``translation_result_unreadable``: the folder is gone, damaged or of another version.
        """
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("format") != _FORMAT:
                raise ValueError("another format")
            uids = tuple(values.pop("sop_instance_uids"))
            frames = tuple(values.pop("frames", ()))
            values.pop("calibration", None)
            record = cls(translation=Translation(**values), sop_instance_uids=uids, frames=frames)
            hu = np.load(path.with_name("hu.npy"), mmap_mode="r", allow_pickle=False)
            mask = path.with_name("padding.npy")
            padding = np.load(mask, mmap_mode="r", allow_pickle=False) if mask.exists() else None
        except _UNREADABLE as error:
            raise _unreadable(error) from error
        return record, hu, padding


def load_uncertainty(path: Path) -> Uncertainty | None:
    """What stands beside the synthetic HU of the record at ``path``, as a memory map; None where it was not asked for.

    Raises
    ------
    DeriveError
        ``translation_result_unreadable``.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8")).get("calibration")
        if told is None:
            return None
        hu = np.load(path.with_name(_UNCERTAINTY_NAME), mmap_mode="r", allow_pickle=False)
        return Uncertainty(hu=hu, calibration=Calibration.model_validate(told))
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def slices_differ(selected: Sequence[str], read: Sequence[str]) -> Problem | None:
    """Whether the slices read are those that selection saw, by SOP Instance UID and in any order; None if they are.

    A slice lost on the way would leave a hole in the volume that nobody sees.
    """
    if sorted(selected) == sorted(read):
        return None
    others = len(set(read) - set(selected))
    return slices_count_differs(len(selected), len(read), f", {others} of them other images" if others else "")


def slices_count_differs(selected: int, read: int, also: str = "") -> Problem:
    """That more or fewer slices were read than selection saw."""
    return Problem(
        "slices_differ",
        f"Selection saw {_slices(selected)}, the reader read {read}{also}.",
        "Retry the job; if it fails again, report this with the log: no slice may be lost on the way.",
    )


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"


def whole_hu(hu: np.ndarray) -> np.ndarray:
    """Whole HU in the smallest of int16 and int32 that holds them, slice by slice; float when some are not finite."""
    low, high = float(np.min(hu)), float(np.max(hu))
    if not (np.isfinite(low) and np.isfinite(high)):
        return hu
    narrow = low >= -32768 and high <= 32767
    result = np.empty(hu.shape, dtype=np.int16 if narrow else np.int32)
    for index in range(hu.shape[0]):
        np.rint(hu[index], out=result[index], casting="unsafe")
    return result


def _unreadable(error: Exception) -> DeriveError:
    return DeriveError(
        "translation_result_unreadable",
        f"The synthetic volume cannot be read back ({type(error).__name__}).",
        "Send the series again, or cancel the job.",
    )


def _save_array(path: Path, array: np.ndarray) -> None:
    with atomic_file(path, mode=FILE_MODE) as file:
        np.save(file, array, allow_pickle=False)
