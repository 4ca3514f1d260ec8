"""The read-only JSON interface under ``/api``."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException, Query

from dicom_node.catalog import Catalog, DeliveryState, JobState, SeriesState
from dicom_node.config import Settings
from dicom_node.errors import CatalogError
from dicom_node.web.answers import (
    DeliveryAnswer,
    DeliveryDetail,
    InstanceStatus,
    JobAnswer,
    JobDetail,
    Page,
    QuarantineAnswer,
    RejectedPeerAnswer,
    RouteAnswer,
    SeriesAnswer,
)

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items in the answer")]
Offset = Annotated[int, Query(ge=0, description="Items to leave out at the beginning")]
Row = TypeVar("Row")
Item = TypeVar("Item")


def api_router(settings: Settings, catalog: Catalog) -> APIRouter:
    """Lists and details of what the catalog holds."""
    router = APIRouter(prefix="/api", tags=["state"])

    @router.get("/series", summary="Received series")
    def series(limit: Limit = 100, offset: Offset = 0, state: SeriesState | None = None) -> Page[SeriesAnswer]:
        rows = catalog.list_series(state=state, limit=limit + 1, offset=offset)
        return _page(rows, SeriesAnswer.of, limit=limit, offset=offset)

    @router.get("/jobs", summary="Jobs: one series on one route")
    def jobs(limit: Limit = 100, offset: Offset = 0, state: JobState | None = None) -> Page[JobAnswer]:
        rows = catalog.list_jobs(state=state, limit=limit + 1, offset=offset)
        return _page(rows, JobAnswer.of, limit=limit, offset=offset)

    @router.get("/jobs/{job_id}", summary="One job with its deliveries")
    def job(job_id: int) -> JobDetail:
        row = _found(lambda: catalog.get_job(job_id))
        deliveries = [DeliveryAnswer.of(one) for one in catalog.list_deliveries(job_id=job_id, limit=1000)]
        return JobDetail(**JobAnswer.of(row).model_dump(), deliveries=deliveries)

    @router.get("/deliveries", summary="Deliveries: one derived series to one destination")
    def deliveries(
        limit: Limit = 100, offset: Offset = 0, state: DeliveryState | None = None, job_id: int | None = None
    ) -> Page[DeliveryAnswer]:
        rows = catalog.list_deliveries(job_id=job_id, state=state, limit=limit + 1, offset=offset)
        return _page(rows, DeliveryAnswer.of, limit=limit, offset=offset)

    @router.get("/deliveries/{delivery_id}", summary="One delivery with the status of every instance")
    def delivery(delivery_id: int) -> DeliveryDetail:
        row = _found(lambda: catalog.get_delivery(delivery_id))
        statuses = [
            InstanceStatus(
                sop_instance_uid=one.sop_instance_uid, status=one.status, accepted=one.accepted, comment=one.comment
            )
            for one in catalog.delivery_instances(delivery_id)
        ]
        return DeliveryDetail(**DeliveryAnswer.of(row).model_dump(), statuses=statuses)

    @router.get("/routes", summary="Routes: called AE titles")
    def routes() -> list[RouteAnswer]:
        return [
            RouteAnswer.of(title, route, min_slices=settings.min_slices(title))
            for title, route in settings.routes.items()
        ]

    @router.get("/quarantine", summary="Received objects that cannot go on")
    def quarantine(limit: Limit = 100, offset: Offset = 0) -> Page[QuarantineAnswer]:
        rows = catalog.list_quarantine(limit=limit + 1, offset=offset)
        return _page(rows, QuarantineAnswer.of, limit=limit, offset=offset)

    @router.get("/rejected-peers", summary="Peers that were turned away")
    def rejected_peers() -> list[RejectedPeerAnswer]:
        return [RejectedPeerAnswer.of(row) for row in catalog.rejected_peers()]

    return router


def _page(rows: Sequence[Row], answer: Callable[[Row], Item], *, limit: int, offset: int) -> Page[Item]:
    """A page from ``limit + 1`` rows: the one too many says that there is more."""
    more = len(rows) > limit
    return Page(
        items=[answer(row) for row in rows[:limit]],
        limit=limit,
        offset=offset,
        next_offset=offset + limit if more else None,
    )


def _found(look_up: Callable[[], Row]) -> Row:
    try:
        return look_up()
    except CatalogError as error:
        raise HTTPException(status_code=404, detail=error.sentence) from error
