"""Asking a peer about a series, as Service Class User: C-FIND (PS3.4 C.4.1)."""

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicom_node.deliver.destinations.dicom.association import name_of, open_association
from dicom_node.deliver.destinations.dicom.destination import DicomSettings
from dicom_node.errors import DeliverError, RetriableDeliverError

_SUCCESS = 0x0000
#: Pending; pending, and some optional keys were not matched (PS3.4 C.4.1.1.4).
_PENDING = frozenset({0xFF00, 0xFF01})
_FIND = StudyRootQueryRetrieveInformationModelFind


def count_images(
    destination: DicomSettings, *, calling_ae: str, study_instance_uid: str, series_instance_uid: str
) -> int:
    """Number of Series Related Instances (0020,1209) that a peer states for a series; 0 where it does not know it.

    Raises
    ------
    DeliverError
        ``no_context``, ``find_refused`` or ``count_not_given``; ``RetriableDeliverError`` when it may pass.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = study_instance_uid
    query.SeriesInstanceUID = series_instance_uid
    query.NumberOfSeriesRelatedInstances = None
    contexts = [(_FIND, (ExplicitVRLittleEndian, ImplicitVRLittleEndian))]
    found: list[str] = []
    with open_association(destination, calling_ae=calling_ae, contexts=contexts) as peer:
        for answer, match in peer.send_c_find(query, _FIND):
            status = answer.get("Status")
            if status is None:
                raise RetriableDeliverError(
                    "find_unanswered",
                    f"{name_of(destination)} left C-FIND unanswered, or ended the association.",
                    "Check that it is well, and that this node is allowed to query there.",
                )
            if status not in (*_PENDING, _SUCCESS):
                raise DeliverError(
                    "find_refused",
                    f"{name_of(destination)} answered C-FIND with status 0x{status:04X}.",
                    "Allow this node to query there, or set series.confirm_with to null.",
                )
            if match is not None and str(match.get("SeriesInstanceUID", series_instance_uid)) == series_instance_uid:
                found.append(str(match.get("NumberOfSeriesRelatedInstances", "") or ""))
    if any(not number.strip().isdecimal() for number in found):
        raise DeliverError(
            "count_not_given",
            f"{name_of(destination)} does not state the number of images of a series.",
            "Set series.confirm_with to a peer that does, or to null.",
        )
    return sum(map(int, found))
