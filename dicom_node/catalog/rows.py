"""What the catalog hands out and takes in: frozen values, no database objects.

A `Row` is declared once, by the names of its table's columns: the catalog reads it from the database, and the HTTP
interface and ``--json`` give it out, without the fields that are the node's own (``exclude``) and under the names that
the interface has for some of them (``serialization_alias``). All times are timezone-aware UTC. All states are
``StrEnum`` members, so they compare equal to their plain names.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field, model_validator
from sqlalchemy import RowMapping

from dicom_node.states import DeliveryState, JobState, SeriesState, Verdict
from s2ldm_core.problem import Problem

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class NewInstance:
    """A received instance whose bytes are on disk.

    ``digest`` is the SHA-256 (hex) of the data set as received; ``path`` is absolute; ``size`` are the bytes of the file;
    ``route`` is the called AE title.
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


class Row(BaseModel):
    """A row by the names of its columns; ``reason_code``, ``reason_sentence`` and ``reason_remedy`` become ``reason``."""

    model_config = ConfigDict(frozen=True, protected_namespaces=(), populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "reason_code" in values:
            return {**values, "reason": problem_of(values)}
        return values


RowType = TypeVar("RowType", bound=Row)


def read_rows(kind: type[RowType], found: Iterable[RowMapping]) -> Iterator[tuple[RowType, RowMapping]]:
    """Each row as a value, with what the query has beside it; one that is none is logged, and hides no other."""
    for values in found:
        try:
            yield kind.model_validate(values), values
        except ValidationError as error:
            fields = sorted({str(one["loc"][0]) for one in error.errors() if one["loc"]})
            _log.error("row_unreadable", kind=kind.__name__, number=values.get("id"), fields=fields)


def problem_of(values: Mapping[Any, Any]) -> Problem | None:
    """The reason columns of a row as a value."""
    if not values["reason_code"]:
        return None
    return Problem(values["reason_code"], values["reason_sentence"] or "", values["reason_remedy"] or "")


#: Fields that the node keeps to itself: paths, and who works on a row.
OwnPath = Annotated[Path | None, Field(exclude=True)]
OwnText = Annotated[str | None, Field(exclude=True)]
OwnTime = Annotated[datetime | None, Field(exclude=True)]


class InstanceRow(Row):
    """One instance of a source series; ``path`` is None once retention has removed the file."""

    series_key: int = Field(validation_alias="series_id")
    series_instance_uid: str
    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: OwnPath
    digest: str
    size: int
    received_at: datetime
    called_ae: str = Field(validation_alias="route")
    calling_ae: str
    peer: str


class AssociationRow(Row):
    """One association that asked for a route; open while ``closed_at`` is None."""

    id: str
    called_ae: str
    calling_ae: str
    peer: str
    opened_at: datetime
    claimed_until: OwnTime = None
    closed_at: datetime | None
    outcome: str | None


class SeriesRow(Row):
    """A source series on one route (``key`` stands for the pair Series Instance UID, called AE title)."""

    key: int = Field(validation_alias="id")
    series_instance_uid: str
    study_instance_uid: str
    route: str
    state: SeriesState
    reason: Problem | None
    instance_count: int = Field(serialization_alias="instances")
    conflict_count: int = Field(serialization_alias="conflicts")
    calling_ae: str
    peer: str
    completion_signal: str | None
    completion_evidence: dict[str, Any] | None
    first_received_at: datetime
    last_received_at: datetime
    completed_at: datetime | None
    content_digest: OwnText


class JobRow(Row):
    """One source series (a fixed set of its instances) on one route.

    ``model`` is the route's word for it, ``model_identity`` names its version and weights. ``series_key`` is None only
    for the ``refused`` jobs that stand for unreadable objects. ``details`` is what the steps noted (seconds, seed,
    selection hints), ``rules`` what each rule of selection saw, ``route_settings`` the route as it was when the job began,
    None where it takes the present one; ``progress`` is 0..1 within ``stage`` while translating. Claimed by a step (``worker`` until
    ``claimed_until``), the row is also the claim: what the step records counts only while it holds it.
    """

    id: int
    series_key: int | None = Field(validation_alias="series_id")
    series_instance_uid: str | None
    study_instance_uid: str | None
    derived_series_instance_uid: str | None
    uncertainty_series_instance_uid: str | None
    superseded_by: int | None
    supersedes: tuple[int, ...] = ()
    route: str
    phase: str
    model: str
    model_identity: str
    state: JobState
    reason: Problem | None
    instance_count: int = Field(serialization_alias="instances")
    attempts: int
    stage: str | None
    progress: float | None
    completion_signal: str | None
    details: dict[str, Any]
    rules: list[dict[str, Any]] | None = Field(default=None, exclude=True)
    route_settings: dict[str, Any] | None = Field(default=None, exclude=True)
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    not_before: datetime | None = Field(serialization_alias="next_attempt_at")
    worker: OwnText
    claimed_until: OwnTime
    content_digest: OwnText
    result_path: OwnPath
    failed_in: Annotated[JobState | None, Field(exclude=True)]

    @property
    def claim_name(self) -> str:
        """A name for the claim's own folder: the last holder of a claim that ran out may still write into its."""
        return f"{self.id}.{str(self.worker).rpartition(':')[2]}"


class DeliveryInstanceRow(Row):
    """One derived instance of a delivery, with the destination's last answer; ``verdict`` is None before any.

    ``status`` is the answer in the protocol's own terms, for people: a C-STORE status, or an HTTP status.
    ``rejects_job``: a note that rejects the derived series of that job, sent after the images; None for these.
    """

    sop_instance_uid: str
    sop_class_uid: OwnText
    rejects_job: Annotated[int | None, Field(exclude=True)]
    path: OwnPath
    verdict: Annotated[Verdict | None, Field(exclude=True)]
    status: int | None
    comment: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def accepted(self) -> bool:
        """Whether the destination has confirmed that it holds the instance."""
        return self.verdict is Verdict.ACCEPTED


class DeliveryRow(Row):
    """A job's derived series to one destination; while ``sending``, also the claim of the step that sends it.

    ``instance_count`` and ``accepted_count`` are of images, those of the uncertainty included, ``note_count`` and
    ``accepted_note_count`` of the notes that reject earlier derived series. A delivery that is ``done`` has a
    ``reason`` where the destination takes no such notes.
    """

    id: int
    job_id: int
    route: str
    destination: str
    series_instance_uid: str = Field(validation_alias="derived_series_instance_uid")
    state: DeliveryState
    reason: Problem | None
    instance_count: int = Field(serialization_alias="instances")
    accepted_count: int = Field(serialization_alias="accepted")
    note_count: int = Field(serialization_alias="rejection_notes")
    accepted_note_count: int = Field(serialization_alias="rejection_notes_accepted")
    attempts: int
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    not_before: datetime | None = Field(serialization_alias="next_attempt_at")
    worker: OwnText
    claimed_until: OwnTime


class QuarantineRow(Row):
    """A received object that cannot go on: unreadable, or another content under a UID already held."""

    id: int
    job_id: int | None
    series_key: int | None = Field(validation_alias="series_id")
    route: str
    calling_ae: str
    peer: str
    sop_instance_uid: str
    path: OwnPath
    size: int
    received_at: datetime
    reason: Problem


class RejectedPeerRow(Row):
    """Peers seen but not served: AE-title mistakes and unknown senders, made visible."""

    calling_ae: str
    called_ae: str
    peer: str
    reason: Problem
    count: int
    first_seen_at: datetime
    last_seen_at: datetime
