"""The read-only JSON interface under ``/api``."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException, Query

from dicom_node.catalog import (
    Catalog,
    DeliveryRow,
    DeliveryState,
    JobRow,
    JobState,
    QuarantineRow,
    RejectedPeerRow,
    SeriesRow,
    SeriesState,
)
from dicom_node.config import Settings
from dicom_node.errors import CatalogError
from dicom_node.web.answers import DeliveryDetail, JobDetail, Page, RouteAnswer

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items in the answer")]
Offset = Annotated[int, Query(ge=0, description="Items to leave out at the beginning")]
Row = TypeVar("Row")


def api_router(settings: Settings, catalog: Catalog) -> APIRouter:
    """Lists and details of what the catalog holds."""
    router = APIRouter(prefix="/api", tags=["state"])

    @router.get("/series", summary="Received series")
    def series(limit: Limit = 100, offset: Offset = 0, state: SeriesState | None = None) -> Page[SeriesRow]:
        rows = catalog.list_series(state=state, limit=limit + 1, offset=offset)
        return _page(rows, limit=limit, offset=offset)

    @router.get("/jobs", summary="Jobs: one series on one route")
    def jobs(limit: Limit = 100, offset: Offset = 0, state: JobState | None = None) -> Page[JobRow]:
        rows = catalog.list_jobs(state=state, limit=limit + 1, offset=offset)
        return _page(rows, limit=limit, offset=offset)

    @router.get("/jobs/{job_id}", summary="One job with its deliveries")
    def job(job_id: int) -> JobDetail:
        row = _found(lambda: catalog.get_job(job_id))
        return JobDetail(**dict(row), deliveries=catalog.list_deliveries(job_id=job_id, limit=1000))

    @router.get("/deliveries", summary="Deliveries: one derived series to one destination")
    def deliveries(
        limit: Limit = 100, offset: Offset = 0, state: DeliveryState | None = None, job_id: int | None = None
    ) -> Page[DeliveryRow]:
        rows = catalog.list_deliveries(job_id=job_id, state=state, limit=limit + 1, offset=offset)
        return _page(rows, limit=limit, offset=offset)

    @router.get("/deliveries/{delivery_id}", summary="One delivery with the status of every instance")
    def delivery(delivery_id: int) -> DeliveryDetail:
        row = _found(lambda: catalog.get_delivery(delivery_id))
        return DeliveryDetail(**dict(row), statuses=catalog.delivery_instances(delivery_id))

    @router.get("/routes", summary="Routes: called AE titles")
    def routes() -> list[RouteAnswer]:
        return [
            RouteAnswer.of(title, route, min_slices=settings.min_slices(title))
            for title, route in settings.routes.items()
        ]

    @router.get("/quarantine", summary="Received objects that cannot go on")
    def quarantine(limit: Limit = 100, offset: Offset = 0) -> Page[QuarantineRow]:
        rows = catalog.list_quarantine(limit=limit + 1, offset=offset)
        return _page(rows, limit=limit, offset=offset)

    @router.get("/rejected-peers", summary="Peers that were turned away")
    def rejected_peers() -> list[RejectedPeerRow]:
        return catalog.rejected_peers()

    return router


def _page(rows: Sequence[Row], *, limit: int, offset: int) -> Page[Row]:
    """A page from ``limit + 1`` rows: the one too many says that there is more."""
    more = len(rows) > limit
    return Page(items=list(rows[:limit]), limit=limit, offset=offset, next_offset=offset + limit if more else None)


def _found(look_up: Callable[[], Row]) -> Row:
    try:
        return look_up()
    except CatalogError as error:
        raise HTTPException(status_code=404, detail=error.sentence) from error
