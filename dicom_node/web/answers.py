"""What the HTTP interface answers: states, reasons and times, never patient data and never paths."""

from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel

from dicom_node import catalog
from dicom_node.config import Route

Item = TypeVar("Item")


class Reason(BaseModel):
    """Why something stands where it stands."""

    code: str
    sentence: str
    remedy: str

    @classmethod
    def of(cls, reason: catalog.Reason | None) -> Self | None:
        """From the catalog's value."""
        if reason is None:
            return None
        return cls(code=reason.code, sentence=reason.sentence, remedy=reason.remedy)


class Page(BaseModel, Generic[Item]):
    """A part of a list, newest first; ``next_offset`` is null at its end."""

    items: list[Item]
    limit: int
    offset: int
    next_offset: int | None


class SeriesAnswer(BaseModel):
    """A received series on one route."""

    key: int
    series_instance_uid: str
    study_instance_uid: str
    route: str
    state: str
    reason: Reason | None
    instances: int
    conflicts: int
    calling_ae: str
    peer: str
    completion_signal: str | None
    first_received_at: datetime
    last_received_at: datetime
    completed_at: datetime | None

    @classmethod
    def of(cls, row: catalog.SeriesRow) -> Self:
        """From the catalog's row."""
        return cls(
            key=row.key,
            series_instance_uid=row.series_instance_uid,
            study_instance_uid=row.study_instance_uid,
            route=row.route,
            state=row.state.value,
            reason=Reason.of(row.reason),
            instances=row.instance_count,
            conflicts=row.conflict_count,
            calling_ae=row.calling_ae,
            peer=row.peer,
            completion_signal=row.completion_signal,
            first_received_at=row.first_received_at,
            last_received_at=row.last_received_at,
            completed_at=row.completed_at,
        )


class JobAnswer(BaseModel):
    """One series on one route, on its way."""

    id: int
    series_key: int | None
    series_instance_uid: str | None
    study_instance_uid: str | None
    derived_series_instance_uid: str | None
    route: str
    phase: str
    model: str
    model_identity: str
    state: str
    reason: Reason | None
    instances: int
    attempts: int
    stage: str | None
    progress: float | None
    completion_signal: str | None
    details: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None

    @classmethod
    def of(cls, row: catalog.JobRow) -> Self:
        """From the catalog's row."""
        return cls(
            id=row.id,
            series_key=row.series_key,
            series_instance_uid=row.series_instance_uid,
            study_instance_uid=row.study_instance_uid,
            derived_series_instance_uid=row.derived_series_instance_uid,
            route=row.route,
            phase=row.phase,
            model=row.model,
            model_identity=row.model_identity,
            state=row.state.value,
            reason=Reason.of(row.reason),
            instances=row.instance_count,
            attempts=row.attempts,
            stage=row.stage,
            progress=row.progress,
            completion_signal=row.completion_signal,
            details=row.details,
            created_at=row.created_at,
            updated_at=row.updated_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            next_attempt_at=row.not_before,
        )


class DeliveryAnswer(BaseModel):
    """One derived series to one destination."""

    id: int
    job_id: int
    route: str
    destination: str
    series_instance_uid: str
    state: str
    reason: Reason | None
    instances: int
    accepted: int
    attempts: int
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    next_attempt_at: datetime | None

    @classmethod
    def of(cls, row: catalog.DeliveryRow) -> Self:
        """From the catalog's row."""
        return cls(
            id=row.id,
            job_id=row.job_id,
            route=row.route,
            destination=row.destination,
            series_instance_uid=row.series_instance_uid,
            state=row.state.value,
            reason=Reason.of(row.reason),
            instances=row.instance_count,
            accepted=row.accepted_count,
            attempts=row.attempts,
            created_at=row.created_at,
            updated_at=row.updated_at,
            finished_at=row.finished_at,
            next_attempt_at=row.not_before,
        )


class InstanceStatus(BaseModel):
    """One derived instance of a delivery; ``status`` is the peer's C-STORE status, null before any answer."""

    sop_instance_uid: str
    status: int | None
    accepted: bool
    comment: str


class DeliveryDetail(DeliveryAnswer):
    """A delivery with every instance."""

    statuses: list[InstanceStatus]


class JobDetail(JobAnswer):
    """A job with its deliveries."""

    deliveries: list[DeliveryAnswer]


class RouteAnswer(BaseModel):
    """One called AE title and what is made of the series sent to it."""

    called_ae: str
    phase: str
    model: str
    output: str
    destinations: list[str]
    min_slices: int
    late: str
    enhancement_check: str

    @classmethod
    def of(cls, called_ae: str, route: Route, *, min_slices: int) -> Self:
        """From the configuration."""
        return cls(
            called_ae=called_ae,
            phase=route.phase,
            model=route.model,
            output=route.output,
            destinations=list(route.destinations),
            min_slices=min_slices,
            late=route.late,
            enhancement_check=route.enhancement_check,
        )


class QuarantineAnswer(BaseModel):
    """A received object that cannot go on."""

    id: int
    job_id: int | None
    series_key: int | None
    route: str
    calling_ae: str
    peer: str
    sop_instance_uid: str
    size: int
    received_at: datetime
    reason: Reason | None

    @classmethod
    def of(cls, row: catalog.QuarantineRow) -> Self:
        """From the catalog's row."""
        return cls(
            id=row.id,
            job_id=row.job_id,
            series_key=row.series_key,
            route=row.route,
            calling_ae=row.calling_ae,
            peer=row.peer,
            sop_instance_uid=row.sop_instance_uid,
            size=row.size,
            received_at=row.received_at,
            reason=Reason.of(row.reason),
        )


class RejectedPeerAnswer(BaseModel):
    """A peer that was turned away: often a mistake in an AE title."""

    calling_ae: str
    called_ae: str
    peer: str
    reason: Reason | None
    count: int
    first_seen_at: datetime
    last_seen_at: datetime

    @classmethod
    def of(cls, row: catalog.RejectedPeerRow) -> Self:
        """From the catalog's row."""
        return cls(
            calling_ae=row.calling_ae,
            called_ae=row.called_ae,
            peer=row.peer,
            reason=Reason.of(row.reason),
            count=row.count,
            first_seen_at=row.first_seen_at,
            last_seen_at=row.last_seen_at,
        )


class CheckAnswer(BaseModel):
    """One part of the node."""

    name: str
    ok: bool
    detail: str


class ReadyAnswer(BaseModel):
    """Whether the node is ready for work, part by part."""

    ready: bool
    checks: list[CheckAnswer]
