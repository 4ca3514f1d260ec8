"""Storage Commitment Push Model (PS3.4 annex J): what its requests and reports hold.

Beside the steps, because deliveries ask and are answered through the listener, and senders ask the listener.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import decode, encode
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

SOP_CLASS = StorageCommitmentPushModel
#: The one instance that there is, well known (J.3.5).
SOP_INSTANCE = StorageCommitmentPushModelInstance
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
#: Request Storage Commitment (J.3.2.1.1).
ACTION_TYPE = 1
#: Storage Commitment Request Successful; Complete, Failures Exist (J.3.3.1.1).
ALL_KEPT, SOME_FAILED = 1, 2

#: Failure Reason (0008,1197), PS3.3 C.14.1.1.
PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_CONFLICT = 0x0110, 0x0112, 0x0119
CLASS_NOT_SUPPORTED, OUT_OF_RESOURCES, DUPLICATE_TRANSACTION = 0x0122, 0x0213, 0x0131


@dataclass(frozen=True, kw_only=True)
class CommitmentRequest:
    """What is to be kept: SOP Class and SOP Instance UID of each instance."""

    transaction_uid: str
    instances: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class CommitmentReport:
    """What is kept, and what is not with the Failure Reason: SOP Class UIDs and reasons by SOP Instance UID."""

    transaction_uid: str
    committed: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def event_type(self) -> int:
        """Event Type ID (J.3.3.1.1)."""
        return SOME_FAILED if self.failed else ALL_KEPT

    @property
    def reasons(self) -> dict[str, int]:
        """Failure Reasons by SOP Instance UID."""
        return {uid: reason for uid, (_, reason) in self.failed.items()}


def request_data_set(request: CommitmentRequest) -> Dataset:
    """The Action Information (table J.3-1)."""
    dataset = Dataset()
    dataset.TransactionUID = request.transaction_uid
    dataset.ReferencedSOPSequence = [_item(sop_class, uid) for sop_class, uid in request.instances]
    return dataset


def report_data_set(report: CommitmentReport) -> Dataset:
    """The Event Information (table J.3-2)."""
    dataset = Dataset()
    dataset.TransactionUID = report.transaction_uid
    if report.committed:
        dataset.ReferencedSOPSequence = [_item(sop_class, uid) for uid, sop_class in report.committed.items()]
    if report.failed:
        items = []
        for uid, (sop_class, reason) in report.failed.items():
            item = _item(sop_class, uid)
            item.FailureReason = reason
            items.append(item)
        dataset.FailedSOPSequence = items
    return dataset


def read_request(dataset: Dataset) -> CommitmentRequest:
    """What an Action Information asks for; raises ValueError where it lacks what it must have."""
    with _as_it_must_be():
        return CommitmentRequest(transaction_uid=_transaction(dataset), instances=tuple(_references(dataset)))


def read_report(dataset: Dataset) -> CommitmentReport:
    """What an Event Information says; raises ValueError where it lacks what it must have.

    An instance that is on both lists has failed.
    """
    with _as_it_must_be():
        failed = {
            str(item.get("ReferencedSOPInstanceUID", "") or ""): (
                str(item.get("ReferencedSOPClassUID", "") or ""),
                int(item.get("FailureReason", None) or PROCESSING_FAILURE),
            )
            for item in dataset.get("FailedSOPSequence", None) or []
        }
        committed = {uid: sop_class for sop_class, uid in _references(dataset) if uid not in failed}
        return CommitmentReport(transaction_uid=_transaction(dataset), committed=committed, failed=failed)


def decoded(encoded: bytes, *, transfer_syntax_uid: str) -> Dataset:
    """A data set as it came, in one of `SYNTAXES`; whatever is wrong with it raises ValueError."""
    try:
        # Values are read when they are asked for.
        dataset = decode(BytesIO(encoded), transfer_syntax_uid == ImplicitVRLittleEndian, True)
        for _ in dataset.iterall():
            pass
    except Exception as error:
        # Bytes that are no data set fail in any way; all mean the same.
        raise ValueError(f"not a data set ({type(error).__name__})") from error
    return dataset


def encoded(dataset: Dataset, *, transfer_syntax_uid: str) -> bytes:
    """A data set in one of `SYNTAXES`."""
    value = encode(dataset, transfer_syntax_uid == ImplicitVRLittleEndian, True)
    if value is None:
        raise ValueError("the data set cannot be encoded")
    return value


def reason_sentence(reason: int) -> str:
    """A Failure Reason in words, with its number."""
    words = {
        NO_SUCH_INSTANCE: "no such object instance",
        CLASS_CONFLICT: "another SOP class under that UID",
        CLASS_NOT_SUPPORTED: "SOP class not supported",
        OUT_OF_RESOURCES: "out of resources",
        DUPLICATE_TRANSACTION: "duplicate transaction UID",
    }
    return f"{words.get(reason, 'processing failure')} (0x{reason:04X})"


def _item(sop_class: str, uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = uid
    return item


@contextmanager
def _as_it_must_be() -> Iterator[None]:
    """Attributes may have any VR on the wire. What is wrong is not quoted: it may be anything."""
    try:
        yield
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError("not what storage commitment has") from error


def _transaction(dataset: Dataset) -> str:
    uid = str(dataset.get("TransactionUID", "") or "")
    if not uid:
        raise ValueError("no Transaction UID")
    return uid


def _references(dataset: Dataset) -> Sequence[tuple[str, str]]:
    return [
        (str(item.get("ReferencedSOPClassUID", "") or ""), str(item.get("ReferencedSOPInstanceUID", "") or ""))
        for item in dataset.get("ReferencedSOPSequence", None) or []
    ]
