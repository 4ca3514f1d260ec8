"""Series under ``/api``: search, story and pictures; and what can be done with their jobs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from dicom_node.audit.events import accessed
from dicom_node.audit.messages import Study
from dicom_node.audit.trail import AuditTrail
from dicom_node.catalog import Catalog, JobRow, JobState, SeriesState
from dicom_node.config import SettingsSource
from dicom_node.errors import ConfigError
from dicom_node.people.identity import Identity
from dicom_node.people.roles import Role
from dicom_node.receive.requeue import requeue
from dicom_node.service.pictures import PLANES, Pictures
from dicom_node.web.answers import Event, Page, Redelivery, Requeue, Requeued, SeriesDetail, SeriesItem, VolumeAnswer
from dicom_node.web.api import page_of
from dicom_node.web.asking import Asking, Who
from dicom_node.web.doors import client_address
from dicom_node.web.drawing import draw, draw_change
from dicom_node.web.timeline import story_of
from dicom_node.web.types import Limit, Number, Offset, Time, problems

Plane = Literal["axial", "coronal", "sagittal"]
Hu = Annotated[float, Query(ge=-100_000, le=100_000, allow_inf_nan=False)]
Width = Annotated[float, Query(ge=1, le=100_000, allow_inf_nan=False)]


def series_router(catalog: Catalog, source: SettingsSource) -> APIRouter:
    """Series; with patient data for those who may see their pictures."""
    router = APIRouter(prefix="/api/series", tags=["series"], responses=problems(401, 403, 404, 422))

    @router.get("", summary="Received series")
    def find(
        identity: Asking,
        limit: Limit = 100,
        offset: Offset = 0,
        query: Annotated[
            str | None,
            Query(
                max_length=128,
                description="Part of a UID, of the sender's AE title, or, where you may, of patient name, ID or accession number",
            ),
        ] = None,
        route: Annotated[str | None, Query(max_length=16)] = None,
        state: SeriesState | None = None,
        job_state: JobState | None = None,
        since: Time | None = None,
        until: Time | None = None,
    ) -> Page[SeriesItem]:
        knows = may_see_patients(identity)
        rows = catalog.find_series(
            query=query,
            by_patient=knows,
            route=route,
            state=state,
            job_state=job_state,
            since=since,
            until=until,
            limit=limit + 1,
            offset=offset,
        )
        patients = catalog.subjects_of([row.key for row in rows]) if knows else {}
        items = [SeriesItem.model_construct(**dict(row), patient=patients.get(row.key)) for row in rows]
        return page_of(items, limit=limit, offset=offset)

    @router.get("/{series}", summary="One series with its jobs")
    def detail(series: Number, identity: Asking) -> SeriesDetail:
        row = catalog.get_series(series)
        patient = catalog.subjects_of([series]).get(series) if may_see_patients(identity) else None
        return SeriesDetail(**dict(row), patient=patient, jobs=catalog.jobs_of_series([series])[series])

    @router.get("/{series}/timeline", summary="What happened to a series")
    def story(series: Number) -> list[Event]:
        return story_of(catalog, series)

    @router.post("/{series}/requeue", summary="Take a series in on another route, too", responses=problems(409))
    def requeue_series(series: Number, where: Requeue) -> Requeued:
        return Requeued(taken_in=requeue(series, route=where.route, settings=source.current, catalog=catalog))

    return router


def may_see_patients(identity: Identity) -> bool:
    """Whether somebody may know whose a series is: those who may see its pictures."""
    return identity.role is not None and identity.role.covers(Role.VIEWER)


def picture_router(pictures: Pictures, catalog: Catalog, trail: AuditTrail | None) -> APIRouter:
    """Pictures of series; who looks is recorded."""
    router = APIRouter(prefix="/api/series", tags=["series"], responses=problems(401, 403, 404, 409, 422))

    @router.get("/{series}/volume", summary="What can be seen of a series")
    def volume(series: Number) -> VolumeAnswer:
        look = pictures.source(series)
        sizes = {plane: look.size(plane) for plane in PLANES}
        job = pictures.job_shown(series)
        return VolumeAnswer(
            slices=sizes,
            spacing_mm=list(look.spacing_mm),
            derived=job is not None,
            uncertainty=job is not None and pictures.tells_uncertainty(job),
        )

    @router.get("/{series}/image.png", summary="One slice as a picture", response_class=Response)
    def image(
        request: Request,
        who: Who,
        series: Number,
        of: Literal["source", "derived", "change", "uncertainty"] = "source",
        plane: Plane = "axial",
        index: Annotated[int, Query(ge=0, le=100_000)] = 0,
        center: Hu = 40,
        width: Width = 400,
    ) -> Response:
        if of == "change":
            before, aspect = pictures.source(series).slice(plane, index)
            after, _ = pictures.derived(series).slice(plane, index)
            png = draw_change(after.astype("int32") - before, width=width, aspect=aspect)
        else:
            look = {"source": pictures.source, "derived": pictures.derived, "uncertainty": pictures.uncertainty}[of]
            hu, aspect = look(series).slice(plane, index)
            png = draw(hu, center=center, width=width, aspect=aspect)
        if trail is not None and trail.is_first_look(who, series):
            whose = catalog.subjects_of([series]).get(series)
            study = Study(
                uid=catalog.get_series(series).study_instance_uid,
                patient_id=(whose.patient_id or None) if whose is not None else None,
            )
            trail.record(accessed(who, address=client_address(request), study=study, at=trail.now()))
        return Response(png, media_type="image/png")

    return router


def job_router(catalog: Catalog, source: SettingsSource) -> APIRouter:
    """What can be done with jobs."""
    router = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=problems(401, 403, 404, 409, 422))

    @router.post("/{job}/retry", summary="Put a job back to work")
    def retry(job: Number, who: Who, again: bool = False) -> JobRow:
        return catalog.retry_job(job, again=again, who=who)

    @router.post("/{job}/cancel", summary="Stop a job that has not ended")
    def cancel(job: Number, who: Who) -> JobRow:
        return catalog.cancel_job(job, who=who)

    @router.post("/{job}/redeliver", summary="Send the derived series again, to any destination")
    def redeliver(job: Number, who: Who, where: Redelivery | None = None) -> JobRow:
        return redelivered(catalog, source, job, None if where is None else where.destination, who=who)

    return router


def redelivered(catalog: Catalog, source: SettingsSource, job: int, destination: str | None, *, who: str) -> JobRow:
    """Deliver again; errors as in `Catalog.redeliver_job`, and `ConfigError` (``destination_unknown``)."""
    if destination is not None and destination not in source.current.destinations:
        raise ConfigError("destination_unknown", f"There is no destination {destination!r}.", "See /api/destinations.")
    return catalog.redeliver_job(job, destination=destination, who=who)
