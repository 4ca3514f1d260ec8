"""Rejection notes: Key Object Selection Documents that take back an earlier derived series (IHE RAD TF-3 4.66, IOCM)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.catalog import DerivedInstance, EarlierSeries, ImageReference
from dicom_node.derive import attributes, keywords, uids
from dicom_node.derive.equipment import MANUFACTURER, set_own_equipment
from dicom_node.derive.files import write_part10
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.verbatim import copy_verbatim, set_empty_if_absent

SERIES_DESCRIPTION = "Rejected: superseded synthetic series"
#: From the derived series' number to that of its notes.
_SERIES_NUMBER_OFFSET = 500
#: What the Patient and General Study modules must have, empty or not (PS3.3 C.7.1.1, C.7.2.1).
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)


def write_rejections(
    source: Path, earlier: Sequence[EarlierSeries], *, by: str, info: DerivationInfo, folder: Path
) -> list[DerivedInstance]:
    """Write a note for each earlier derived series; all in one series of the same study.

    Parameters
    ----------
    source
        A file of the source series, whose patient and study are copied.
    by
        Series Instance UID of the derived series that stands in their place.
    folder
        Where the files go, beside the images.
    """
    header = dcmread(source, stop_before_pixels=True)
    written = []
    for number, one in enumerate(earlier, start=1):
        note = rejection_note(header, one, by=by, info=info, number=number)
        record = write_part10(note, folder / f"rejection-{number}.dcm")
        written.append(replace(record, rejects_job=one.job_id))
    return written


def rejection_note(source: Dataset, rejected: EarlierSeries, *, by: str, info: DerivationInfo, number: int) -> Dataset:
    """One note (PS3.3 A.35.4), titled (113001, DCM, "Rejected for Quality Reasons") and naming every image in its own series.

    ``number`` is its Instance Number.
    """
    study = str(source.StudyInstanceUID)
    images = [_reference(study, one) for one in rejected.images]
    device = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=uids.IMPLEMENTATION_CLASS_UID, name=info.route, manufacturer_name=MANUFACTURER
        ),
    )
    content = KeyObjectSelection(
        document_title=codes.DCM.RejectedForQualityReasons,
        referenced_objects=images,
        observer_device_context=device,
        description=f"Synthetic series made of an incomplete or outdated source, or in another way than now; superseded by series {by}.",
    )
    # Names and identifiers are set afterwards as the source's bytes, as for the images.
    note: Dataset = KeyObjectSelectionDocument(
        evidence=images,
        content=content,
        series_instance_uid=str(uids.rejection_series_instance_uid(by)),
        series_number=attributes.series_number(source, info=info) + _SERIES_NUMBER_OFFSET,
        sop_instance_uid=str(
            uids.rejection_sop_instance_uid(by, *dict.fromkeys(one.series_instance_uid for one in rejected.images))
        ),
        instance_number=number,
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    copy_verbatim(source, note, ["SpecificCharacterSet", *keywords.PATIENT, *keywords.STUDY, "TimezoneOffsetFromUTC"])
    set_empty_if_absent(note, _TYPE_2)
    note.SeriesDescription = SERIES_DESCRIPTION
    set_own_equipment(note, info=info)
    moment = attributes.local_moment(source, info.created_at)
    for prefix in ("Series", "Content", "InstanceCreation"):
        setattr(note, f"{prefix}Date", moment.strftime("%Y%m%d"))
        setattr(note, f"{prefix}Time", moment.strftime("%H%M%S"))
    return note


def _reference(study_uid: str, referenced: ImageReference) -> Dataset:
    """An image as highdicom wants to be shown it: what a reference to it holds, and empty identifiers."""
    image = Dataset()
    image.StudyInstanceUID, image.SeriesInstanceUID = study_uid, referenced.series_instance_uid
    image.SOPInstanceUID, image.SOPClassUID = referenced.sop_instance_uid, referenced.sop_class_uid
    image.Rows = image.Columns = 1  # by which it is told from other composite objects
    for keyword in _TYPE_2:
        setattr(image, keyword, None)
    return image
