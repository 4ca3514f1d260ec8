"""Having a peer send what it has of a series and the node has not, as Service Class User: C-FIND and C-MOVE (PS3.4 C.4.2)."""

from collections.abc import Collection

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_node.deliver.destinations.dicom.association import name_of, no_answer, open_association
from dicom_node.deliver.destinations.dicom.destination import DicomSettings
from dicom_node.errors import DeliverError

_SUCCESS, _SOME_FAILED = 0x0000, 0xB000
_PENDING = frozenset({0xFF00, 0xFF01})
_FIND, _MOVE = StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelMove
#: A list of UIDs has 65534 bytes at most in explicit VR (PS3.5 7.1.2).
_AT_ONCE = 500
#: More images than any series has.
_MOST_IMAGES = 20_000


def fetch_missing(
    destination: DicomSettings,
    *,
    calling_ae: str,
    move_to: str,
    study_instance_uid: str,
    series_instance_uid: str,
    held: Collection[str],
) -> int:
    """Have a peer send the images of a series that are not ``held`` to the AE title ``move_to``; how many it was asked for.

    Raises
    ------
    DeliverError
        ``fetch_refused``, ``no_context``; ``RetriableDeliverError`` when it may pass.
    """
    keys = Dataset()
    keys.QueryRetrieveLevel = "IMAGE"
    keys.StudyInstanceUID = study_instance_uid
    keys.SeriesInstanceUID = series_instance_uid
    contexts = [(one, (ExplicitVRLittleEndian, ImplicitVRLittleEndian)) for one in (_FIND, _MOVE)]
    with open_association(destination, calling_ae=calling_ae, contexts=contexts) as peer:
        if {one.abstract_syntax for one in peer.accepted_contexts} < {_FIND, _MOVE}:
            raise DeliverError(
                "no_context",
                f"{name_of(destination)} does not let this node query and retrieve.",
                "Allow it there, or set series.fetch_missing to false.",
            )
        missing = [uid for uid in _images(peer, destination, keys) if uid not in held]
        for start in range(0, len(missing), _AT_ONCE):
            keys.SOPInstanceUID = missing[start : start + _AT_ONCE]
            for answer, _ in peer.send_c_move(keys, move_to, _MOVE):
                _check(answer, destination, "C-MOVE")
    return len(missing)


def _images(peer: Association, destination: DicomSettings, keys: Dataset) -> list[str]:
    """SOP Instance UIDs of the series, each once."""
    keys.SOPInstanceUID = None
    found: dict[str, None] = {}
    for answer, match in peer.send_c_find(keys, _FIND):
        _check(answer, destination, "C-FIND")
        uid = "" if match is None else str(match.get("SOPInstanceUID", "") or "")
        if uid and len(found) < _MOST_IMAGES:
            found[uid] = None
    return list(found)


def _check(answer: Dataset, destination: DicomSettings, what: str) -> None:
    status = answer.get("Status")
    if status is None:
        raise no_answer(destination)
    if status not in (*_PENDING, _SUCCESS, _SOME_FAILED):
        raise DeliverError(
            "fetch_refused",
            f"{name_of(destination)} answered {what} with status 0x{status:04X}.",
            "Register the routes' AE titles there with this node's host and port, and allow this node to retrieve; "
            "or set series.fetch_missing to false.",
        )
