"""What the node holds of its own derived series, and what their headers say."""

import threading
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, dcmread

from dicom_node.catalog import Catalog, DerivedInstance, HeldDerived

PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    *PATIENT,
    "ReferringPhysicianName",
)
SERIES = (
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "SeriesDate",
    "SeriesTime",
    "Modality",
    "BodyPartExamined",
    "FrameOfReferenceUID",
)
IMAGE = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber", "NumberOfFrames", "Rows", "Columns", "ImageType")
_READ = (*STUDY, *SERIES, *IMAGE, "SpecificCharacterSet")

#: Headers that are kept in memory.
_MOST_KEPT = 4096


class Holdings:
    """The derived series that peers may ask for; one thread at a time, which holds ``one_at_a_time``."""

    def __init__(self, catalog: Catalog) -> None:
        self.one_at_a_time = threading.Lock()
        self._catalog = catalog
        self._headers: dict[Path, Dataset] = {}

    def series(self, *, study_instance_uid: str | None = None) -> list[HeldDerived]:
        """Those of a study, or all, study by study."""
        return self._catalog.held_derived(study_instance_uid=study_instance_uid)

    def images(self, series: HeldDerived) -> Iterator[DerivedInstance]:
        """The images of one, in slice order."""
        written = self._catalog.derived_instances(series.job_id)
        return (one for one in written if one.series_instance_uid == series.series_instance_uid)

    def header(self, path: Path) -> Dataset | None:
        """A file's header; None where it is gone, as retention may have it at any time. Nobody writes to it again."""
        if path not in self._headers:
            try:
                header = dcmread(path, stop_before_pixels=True, specific_tags=list(_READ))
            except OSError:
                return None
            if len(self._headers) >= _MOST_KEPT:
                self._headers.clear()
            self._headers[path] = header
        return self._headers[path]
