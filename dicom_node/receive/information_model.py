"""The information models of query and retrieve (PS3.4 C.6): their SOP classes, levels and unique keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

Service = Literal["find", "move", "get"]

#: The unique key of each level (C.6.1.1, C.6.2.1).
UNIQUE_KEYS: Mapping[str, str] = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}


@dataclass(frozen=True, kw_only=True)
class InformationModel:
    """One root: its levels from the top down."""

    levels: tuple[str, ...]

    def keys_above(self, level: str) -> tuple[str, ...]:
        """The unique keys that must be given, one value each, in a request at this level (C.4.1.2.1, C.4.2.2.1)."""
        return tuple(UNIQUE_KEYS[one] for one in self.levels[: self.levels.index(level)])

    def level_of(self, identifier: Dataset) -> str | None:
        """The level that is asked for; None if it is none, or if a unique key above it is missing."""
        level = str(identifier.get("QueryRetrieveLevel", "") or "").strip()
        if level not in self.levels or not all(is_single(identifier, key) for key in self.keys_above(level)):
            return None
        return level


_PATIENT_ROOT = InformationModel(levels=("PATIENT", "STUDY", "SERIES", "IMAGE"))
_STUDY_ROOT = InformationModel(levels=("STUDY", "SERIES", "IMAGE"))
_CLASSES: Mapping[str, tuple[InformationModel, Service]] = {
    PatientRootQueryRetrieveInformationModelFind: (_PATIENT_ROOT, "find"),
    PatientRootQueryRetrieveInformationModelMove: (_PATIENT_ROOT, "move"),
    PatientRootQueryRetrieveInformationModelGet: (_PATIENT_ROOT, "get"),
    StudyRootQueryRetrieveInformationModelFind: (_STUDY_ROOT, "find"),
    StudyRootQueryRetrieveInformationModelMove: (_STUDY_ROOT, "move"),
    StudyRootQueryRetrieveInformationModelGet: (_STUDY_ROOT, "get"),
}


def model_for(sop_class_uid: str, service: Service) -> InformationModel | None:
    """The model of a SOP class, if that is one of ``service``."""
    model, its_service = _CLASSES.get(sop_class_uid, (None, None))
    return model if its_service == service else None


def is_single(keys: Dataset, name: str) -> bool:
    """Whether a key has one value, and no wild card."""
    value = keys.get(name)
    return isinstance(value, str) and bool(value) and "*" not in value and "?" not in value
