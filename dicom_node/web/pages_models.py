"""The console's page about models."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from dicom_node.errors import NodeError
from dicom_node.service.packages import Packages
from dicom_node.web.pages import Pages, see
from dicom_node.web.problems import status_of
from s2ldm_core.problem import Problem


def model_pages(pages: Pages, packages: Packages) -> APIRouter:
    """The packages, with what each says of itself."""
    router = APIRouter(include_in_schema=False)

    @router.get("/models")
    def models(request: Request) -> HTMLResponse:
        return _models(request)

    @router.post("/models/{key}/remove")
    def remove(request: Request, key: str) -> Response:
        try:
            packages.remove(key)
        except NodeError as error:
            return _models(request, problem=error.problem, status=status_of(error))
        return see("/models")

    def _models(request: Request, *, problem: Problem | None = None, status: int = 200) -> HTMLResponse:
        return pages.show(request, "models.html", status=status, packages=packages.held(), problem=problem)

    return router
