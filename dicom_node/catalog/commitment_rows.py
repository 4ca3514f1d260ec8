"""What the catalog hands out of storage commitment (PS3.4 annex J)."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dicom_node.catalog.rows import OwnText, OwnTime, Row
from dicom_node.states import CommitmentState
from s2ldm_core.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Commitment:
    """The last request to a delivery's destination.

    ``failed_count`` instances are not kept, says its answer, the first of them for ``failure`` (Failure Reason, 0008,1197).
    """

    transaction_uid: str
    answer_by: datetime
    answered_at: datetime | None
    failed_count: int
    failure: int | None
    settled: bool


class CommitmentRequestRow(Row):
    """A sender's request for storage commitment; while ``telling``, also the claim of the step that answers it."""

    id: int
    transaction_uid: str
    calling_ae: str
    called_ae: str
    peer: str
    state: CommitmentState
    reason: Problem | None
    attempts: int
    received_at: datetime
    updated_at: datetime
    not_before: datetime | None
    worker: OwnText
    claimed_until: OwnTime


@dataclass(frozen=True, kw_only=True)
class HeldInstance:
    """A received instance as the catalog has it; ``path`` is None once retention has removed the file."""

    sop_class_uid: str
    path: Path | None
    size: int
