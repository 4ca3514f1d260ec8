"""Speaking to a peer as Service Class User: C-ECHO and C-STORE (PS3.7 9.3.1, 9.3.5)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicom_node.deliver.destinations.destination import Answer
from dicom_node.deliver.destinations.dicom.association import name_of, no_answer, open_association
from dicom_node.deliver.destinations.dicom.destination import DicomSettings
from dicom_node.deliver.destinations.dicom.status import status_sentence, verdict
from dicom_node.errors import DeliverError
from dicom_node.states import Verdict

#: An association carries at most 128 presentation contexts (PS3.8 9.3.2.2: odd numbers 1 to 255).
_MAX_CONTEXTS = 128


@dataclass(frozen=True, kw_only=True)
class _Outgoing:
    path: Path
    sop_class_uid: UID
    sop_instance_uid: str
    transfer_syntax_uid: UID

    @property
    def syntaxes(self) -> tuple[UID, ...]:
        """What to offer: a compressed object as it is, an uncompressed one also in the default syntax (PS3.5 10.1)."""
        if self.transfer_syntax_uid.is_compressed:
            return (self.transfer_syntax_uid,)
        return tuple(dict.fromkeys([self.transfer_syntax_uid, ExplicitVRLittleEndian, ImplicitVRLittleEndian]))


def echo(destination: DicomSettings, *, calling_ae: str, storage: Sequence[UID] = ()) -> tuple[UID, ...]:
    """Verify a destination with C-ECHO.

    Parameters
    ----------
    storage
        Storage SOP classes to negotiate beside; nothing is stored.

    Returns
    -------
    tuple of UID
        Those of ``storage`` that the destination does not take.

    Raises
    ------
    DeliverError
        With the reason; ``RetriableDeliverError`` when it may pass.
    """
    contexts = [
        (Verification, (ImplicitVRLittleEndian,)),
        *((one, (ExplicitVRLittleEndian, ImplicitVRLittleEndian)) for one in storage),
    ]
    with open_association(destination, calling_ae=calling_ae, contexts=contexts) as peer:
        taken = {context.abstract_syntax for context in peer.accepted_contexts}
        if Verification not in taken:
            raise DeliverError(
                "echo_refused", f"{name_of(destination)} does not answer C-ECHO.", "Ask its administrator."
            )
        response = peer.send_c_echo()
        status = response.get("Status")
        if status is None:
            raise no_answer(destination)
        if status != 0x0000:
            raise DeliverError(
                "echo_refused",
                f"{name_of(destination)} answered C-ECHO with status 0x{status:04X}.",
                "Ask its administrator.",
            )
    return tuple(one for one in storage if one not in taken)


def send_files(
    paths: Sequence[Path],
    destination: DicomSettings,
    *,
    calling_ae: str,
    originator: tuple[str, int] | None = None,
    on_answer: Callable[[Answer], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Answer]:
    """Store DICOM files at a destination over one association; see `dicom_node.deliver.destinations.Destination.send`.

    ``originator``: AE title and Message ID of the C-MOVE that asked for it (PS3.7 9.1.1.1.6, 9.1.1.1.7).

    Raises
    ------
    DeliverError
        No association: ``RetriableDeliverError`` for no connection, timeout and transient rejection.
    """
    outgoing = [_read_meta(path) for path in paths]
    if not outgoing:
        return []
    contexts = list(dict.fromkeys((one.sop_class_uid, one.syntaxes) for one in outgoing))
    if len(contexts) > _MAX_CONTEXTS:
        raise DeliverError(
            "too_many_contexts",
            f"The files hold {len(contexts)} kinds of objects, more than one association can carry.",
            "Send fewer files at a time.",
        )
    report = on_answer or (lambda _: None)
    sent: list[Answer] = []
    with open_association(destination, calling_ae=calling_ae, contexts=contexts) as peer:
        for one in outgoing:
            if should_stop is not None and should_stop():
                break
            answer = _send(peer, one, destination, originator or (None, None))
            sent.append(answer)
            report(answer)
            if answer.verdict is Verdict.RETRIABLE:
                break
    return sent


def _send(
    peer: Association,
    one: _Outgoing,
    destination: DicomSettings,
    originator: tuple[str, int] | tuple[None, None],
) -> Answer:
    def answer(status: int | None, judged: Verdict, comment: str = "") -> Answer:
        return Answer(
            path=one.path, sop_instance_uid=one.sop_instance_uid, status=status, verdict=judged, comment=comment
        )

    accepted = {
        syntax
        for context in peer.accepted_contexts
        if context.abstract_syntax == one.sop_class_uid
        for syntax in context.transfer_syntax
    }
    if not accepted.intersection(one.syntaxes):
        return answer(
            None,
            Verdict.PERMANENT,
            f"{name_of(destination)} does not take {one.sop_class_uid.name} as {one.transfer_syntax_uid.name}",
        )
    if not peer.is_established:
        return answer(None, Verdict.RETRIABLE, f"{name_of(destination)} ended the association")
    try:
        dataset = dcmread(one.path)
    except OSError as error:  # it was there when the association was asked for
        return answer(
            None, Verdict.PERMANENT, f"The file of object {one.sop_instance_uid} is gone ({type(error).__name__})"
        )
    if not dataset.get("SOPInstanceUID") or not dataset.get("SOPClassUID"):
        return answer(
            None,
            Verdict.PERMANENT,
            f"The data set of object {one.sop_instance_uid} has no SOP Instance or SOP Class UID",
        )
    try:
        response = peer.send_c_store(dataset, originator_aet=originator[0], originator_id=originator[1])
    except RuntimeError:  # the association ended between the check and the request
        return answer(None, Verdict.RETRIABLE, f"{name_of(destination)} ended the association")
    except (ValueError, AttributeError) as error:  # it cannot be encoded for this peer
        return answer(
            None, Verdict.PERMANENT, f"The object {one.sop_instance_uid} cannot be sent ({type(error).__name__})"
        )
    status = response.get("Status")
    if status is None:
        return answer(None, Verdict.RETRIABLE, f"{name_of(destination)} did not answer")
    judged = verdict(status)
    comment = str(response.get("ErrorComment", "") or "")
    if judged is not Verdict.ACCEPTED:
        comment = f"{name_of(destination)} {status_sentence(status)}" + (f": {comment}" if comment else "")
    return answer(status, judged, comment)


def _read_meta(path: Path) -> _Outgoing:
    """File meta information (PS3.10 7.1) of a file to send."""
    try:
        meta = read_file_meta_info(path)
        return _Outgoing(
            path=path,
            sop_class_uid=UID(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=UID(meta.TransferSyntaxUID),
        )
    except (InvalidDicomError, OSError, AttributeError, EOFError) as error:
        raise DeliverError(
            "file_unreadable",
            f"The file {path.name} cannot be sent: it is missing or not a DICOM file ({type(error).__name__}).",
            "Send DICOM files only.",
        ) from error
