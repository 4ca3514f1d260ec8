"""Lists and details under ``/api``: what the catalog holds, without patient data."""

from collections.abc import Sequence
from typing import TypeVar

from fastapi import APIRouter

from dicom_node.catalog import (
    Catalog,
    DeliveryRow,
    DeliveryState,
    JobRow,
    JobState,
    QuarantineRow,
    RejectedPeerRow,
)
from dicom_node.config import SettingsSource
from dicom_node.web.answers import DeliveryDetail, JobDetail, Page, RouteAnswer
from dicom_node.web.types import Limit, Number, Offset, OptionalNumber, problems

Row = TypeVar("Row")


def api_router(source: SettingsSource, catalog: Catalog) -> APIRouter:
    """Lists and details of what the catalog holds."""
    router = APIRouter(prefix="/api", tags=["state"], responses=problems(401, 403, 404, 422))

    @router.get("/jobs", summary="Jobs: one series on one route")
    def jobs(limit: Limit = 100, offset: Offset = 0, state: JobState | None = None) -> Page[JobRow]:
        rows = catalog.list_jobs(state=state, limit=limit + 1, offset=offset)
        return page_of(rows, limit=limit, offset=offset)

    @router.get("/jobs/{job_id}", summary="One job with its deliveries")
    def job(job_id: Number) -> JobDetail:
        row = catalog.get_job(job_id)
        return JobDetail(**dict(row), deliveries=catalog.list_deliveries(job_id=job_id, limit=1000))

    @router.get("/deliveries", summary="Deliveries: one derived series to one destination")
    def deliveries(
        limit: Limit = 100, offset: Offset = 0, state: DeliveryState | None = None, job_id: OptionalNumber = None
    ) -> Page[DeliveryRow]:
        rows = catalog.list_deliveries(job_id=job_id, state=state, limit=limit + 1, offset=offset)
        return page_of(rows, limit=limit, offset=offset)

    @router.get("/deliveries/{delivery_id}", summary="One delivery with the status of every instance")
    def delivery(delivery_id: Number) -> DeliveryDetail:
        row = catalog.get_delivery(delivery_id)
        return DeliveryDetail(
            **dict(row),
            tries=catalog.attempts_of([delivery_id])[delivery_id],
            statuses=catalog.delivery_instances(delivery_id),
        )

    @router.get("/routes", summary="Routes: called AE titles")
    def routes() -> list[RouteAnswer]:
        settings = source.current
        return [
            RouteAnswer.of(title, route, min_slices=settings.min_slices(title))
            for title, route in settings.routes.items()
        ]

    @router.get("/quarantine", summary="Received objects that cannot go on")
    def quarantine(limit: Limit = 100, offset: Offset = 0) -> Page[QuarantineRow]:
        rows = catalog.list_quarantine(limit=limit + 1, offset=offset)
        return page_of(rows, limit=limit, offset=offset)

    @router.post(
        "/quarantine/{key}/release",
        summary="Take an object in as if it had come just now",
        responses=problems(401, 403, 404, 409),
    )
    def release_object(key: Number) -> dict[str, str]:
        from dicom_node.receive.release import release

        outcome = release(catalog.get_quarantined(key), settings=source.current, catalog=catalog)
        return {"outcome": outcome.value}

    @router.get("/rejected-peers", summary="Peers that were turned away")
    def rejected_peers(limit: Limit = 1000, offset: Offset = 0) -> list[RejectedPeerRow]:
        return catalog.rejected_peers()[offset : offset + limit]

    return router


def page_of(rows: Sequence[Row], *, limit: int, offset: int) -> Page[Row]:
    """A page from ``limit + 1`` rows: the one too many says that there is more."""
    more = len(rows) > limit
    return Page(items=list(rows[:limit]), limit=limit, offset=offset, next_offset=offset + limit if more else None)
