"""The console's page about received objects that cannot go on."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from dicom_node.errors import NodeError
from dicom_node.receive.release import release
from dicom_node.web.pages import Pages, Parts, see
from dicom_node.web.problems import status_of
from dicom_node.web.types import Number, Offset
from s2ldm_core.problem import Problem

_SHOWN = 50


def quarantine_pages(pages: Pages, parts: Parts) -> APIRouter:
    """What lies in quarantine, and letting it out."""
    router = APIRouter(include_in_schema=False)
    catalog = parts.catalog

    @router.get("/quarantine")
    def quarantine(request: Request, offset: Offset = 0) -> HTMLResponse:
        return _quarantine(request, offset=offset)

    @router.post("/quarantine/{key}/release")
    def release_object(request: Request, key: Number) -> Response:
        try:
            release(catalog.get_quarantined(key), settings=parts.configuration.current, catalog=catalog)
        except NodeError as error:
            return _quarantine(request, problem=error.problem, status=status_of(error))
        return see("/quarantine")

    def _quarantine(
        request: Request, *, offset: int = 0, problem: Problem | None = None, status: int = 200
    ) -> HTMLResponse:
        rows = catalog.list_quarantine(limit=_SHOWN + 1, offset=offset)
        return pages.show(
            request,
            "quarantine.html",
            days=parts.configuration.current.retention.quarantine_days,
            status=status,
            rows=rows[:_SHOWN],
            more=len(rows) > _SHOWN,
            offset=offset,
            shown=_SHOWN,
            problem=problem,
        )

    return router
