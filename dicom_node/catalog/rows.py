"""What the catalog hands out and takes in: frozen values, no database objects.

All times are timezone-aware UTC. All states are ``StrEnum`` members, so they compare equal to their plain names.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

#: C-STORE response statuses after which the peer has the object: success and the Storage warnings (PS3.4 B.2.3: 0xB000
#: coercion, 0xB006 elements discarded, 0xB007 data set does not match SOP class), and duplicate SOP Instance (PS3.7
#: C.5). The last is what some peers answer when a lost response made us send again: the UIDs of derived instances are
#: the node's own and stand for one content, so what the peer holds under them is the object.
ACCEPTED_STATUSES = frozenset({0x0000, 0x0111, 0xB000, 0xB006, 0xB007})


def is_accepted(status: int | None) -> bool:
    """Whether a C-STORE response status says that the peer has the object."""
    return status in ACCEPTED_STATUSES


class SeriesState(StrEnum):
    """Where a received series stands."""

    RECEIVING = "receiving"
    COMPLETE = "complete"


class JobState(StrEnum):
    """Where a job stands, in the order of its way; the last four are final until somebody retries."""

    SELECTING = "selecting"
    QUEUED = "queued"
    TRANSLATING = "translating"
    TRANSLATED = "translated"
    DERIVING = "deriving"
    DERIVED = "derived"
    DELIVERING = "delivering"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: Where an interrupted or retried step takes its work from again.
BACK_TO = {
    JobState.SELECTING: JobState.SELECTING,
    JobState.QUEUED: JobState.QUEUED,
    JobState.TRANSLATING: JobState.QUEUED,
    JobState.TRANSLATED: JobState.TRANSLATED,
    JobState.DERIVING: JobState.TRANSLATED,
    JobState.DERIVED: JobState.TRANSLATED,
    JobState.DELIVERING: JobState.DELIVERING,
    JobState.REFUSED: JobState.SELECTING,
}
FINAL_STATES = (JobState.DONE, JobState.REFUSED, JobState.FAILED, JobState.CANCELLED)


#: Worker of a pending delivery that the administrator wants sent now, whatever is known about the destination.
BY_HAND = "administrator"


class DeliveryState(StrEnum):
    """Where a delivery stands; ``failed`` is quarantine, from which ``jobs retry`` requeues."""

    PENDING = "pending"
    SENDING = "sending"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What became of a received instance.

    ``new``: recorded, keep the file. ``same``: held already with the same content, drop the file and answer success.
    ``conflict``: held already with other content; the first is kept, the caller quarantines the second.
    """

    NEW = "new"
    SAME = "same"
    CONFLICT = "conflict"


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why something stands where it stands: code for machines, sentence and remedy for the administrator."""

    code: str
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class NewInstance:
    """A received instance whose bytes are on disk.

    ``digest`` is the SHA-256 (hex) of the data set as received; ``path`` is absolute; ``route`` is the called AE title.
    """

    series_instance_uid: str
    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: Path
    digest: str
    size: int
    route: str
    calling_ae: str
    peer: str
    association_id: str | None = None
    received_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class InstanceRow:
    """One instance of a source series; ``path`` is None once retention has removed the file."""

    series_key: int
    series_instance_uid: str
    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: Path | None
    digest: str
    size: int
    received_at: datetime
    called_ae: str
    calling_ae: str
    peer: str


@dataclass(frozen=True, kw_only=True)
class AssociationRow:
    """One association that asked for a route; open while ``closed_at`` is None."""

    id: str
    called_ae: str
    calling_ae: str
    peer: str
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None


@dataclass(frozen=True, kw_only=True)
class SeriesRow:
    """A source series on one route (``key`` stands for the pair Series Instance UID, called AE title)."""

    key: int
    series_instance_uid: str
    study_instance_uid: str
    route: str
    state: SeriesState
    instance_count: int
    conflict_count: int
    first_received_at: datetime
    last_received_at: datetime
    completed_at: datetime | None
    completion_signal: str | None
    content_digest: str | None
    calling_ae: str
    peer: str
    reason: Reason | None


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """One source series (a fixed set of its instances) on one route.

    ``model`` is the route's word for it, ``model_identity`` names its version and weights. ``series_key`` is None only
    for the ``refused`` jobs that stand for unreadable objects. ``details`` is what the steps noted (seconds, seed,
    selection hints); ``progress`` is 0..1 within ``stage`` while translating.
    """

    id: int
    series_key: int | None
    series_instance_uid: str | None
    study_instance_uid: str | None
    route: str
    phase: str
    model: str
    model_identity: str
    state: JobState
    content_digest: str
    completion_signal: str | None
    instance_count: int
    attempts: int
    not_before: datetime | None
    worker: str | None
    stage: str | None
    progress: float | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    reason: Reason | None
    result_path: Path | None
    derived_series_instance_uid: str | None
    failed_in: JobState | None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DerivedInstance:
    """One written instance of a derived series; ``path`` is absolute."""

    sop_instance_uid: str
    sop_class_uid: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class DeliveryInstanceRow:
    """One derived instance of a delivery; ``status`` is the peer's last C-STORE status, None before any answer."""

    sop_instance_uid: str
    sop_class_uid: str
    path: Path | None
    status: int | None
    comment: str
    updated_at: datetime | None

    @property
    def accepted(self) -> bool:
        """Whether the peer has confirmed that it stored the instance."""
        return is_accepted(self.status)


@dataclass(frozen=True, kw_only=True)
class DeliveryRow:
    """One derived series to one destination."""

    id: int
    job_id: int
    route: str
    destination: str
    series_instance_uid: str
    state: DeliveryState
    attempts: int
    not_before: datetime | None
    worker: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    instance_count: int
    accepted_count: int
    reason: Reason | None


@dataclass(frozen=True, kw_only=True)
class QuarantineRow:
    """A received object that cannot go on: unreadable, or another content under a UID already held."""

    id: int
    job_id: int | None
    series_key: int | None
    route: str
    calling_ae: str
    peer: str
    sop_instance_uid: str
    path: Path | None
    size: int
    received_at: datetime
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class RejectedPeerRow:
    """Peers seen but not served: AE-title mistakes and strangers, made visible."""

    calling_ae: str
    called_ae: str
    peer: str
    reason: Reason
    count: int
    first_seen_at: datetime
    last_seen_at: datetime
