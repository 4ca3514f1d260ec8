"""The web application: health, metrics, the JSON interface, and pages that need nothing from elsewhere."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from prometheus_client import CONTENT_TYPE_LATEST

from dicom_node import __version__
from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.service.health import HealthCheck
from dicom_node.web.answers import CheckAnswer, ReadyAnswer
from dicom_node.web.api import api_router

_SHOWN = 50
# Everything comes from the node itself, and nothing may be sent anywhere else.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(
    settings: Settings,
    catalog: Catalog,
    *,
    readiness: Callable[[], Sequence[HealthCheck]],
    metrics: Callable[[], bytes],
) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    readiness
        Checks every part of the node.
    metrics
        Gives the metrics in Prometheus' text format.
    """
    # FastAPI's own documentation pages load scripts from a CDN, which hospital networks do not reach.
    app = FastAPI(
        title="S2LDM node",
        version=__version__,
        summary="State of the node, read-only. No patient data.",
        docs_url=None,
        redoc_url=None,
    )
    pages = Environment(
        loader=PackageLoader("dicom_node.web"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    @app.get("/healthz", summary="Is the process alive?", tags=["health"], response_class=PlainTextResponse)
    def healthz() -> str:
        return "ok\n"

    @app.get(
        "/readyz",
        summary="Is every part ready for work?",
        tags=["health"],
        response_model=ReadyAnswer,
        responses={503: {"model": ReadyAnswer, "description": "A part is not ready; the answer says which and why"}},
    )
    def readyz() -> JSONResponse:
        checks = [CheckAnswer(name=one.name, ok=one.ok, detail=one.detail) for one in readiness()]
        answer = ReadyAnswer(ready=all(one.ok for one in checks), checks=checks)
        return JSONResponse(answer.model_dump(), status_code=200 if answer.ready else 503)

    @app.get("/metrics", summary="Metrics for Prometheus", tags=["health"], response_class=PlainTextResponse)
    def prometheus() -> Response:
        return Response(metrics(), media_type=CONTENT_TYPE_LATEST)

    app.include_router(api_router(settings, catalog))

    @app.get("/", include_in_schema=False)
    def overview() -> HTMLResponse:
        page = pages.get_template("overview.html").render(
            version=__version__,
            checks=readiness(),
            routes=settings.routes,
            counts=catalog.count_jobs(),
            receiving=catalog.count_series().get("receiving", 0),
            jobs=catalog.list_jobs(limit=_SHOWN),
            deliveries=catalog.list_deliveries(limit=_SHOWN),
            rejected=catalog.rejected_peers()[:_SHOWN],
        )
        return HTMLResponse(page, headers=_HEADERS)

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        page = pages.get_template("docs.html").render(version=__version__, operations=_operations(app.openapi()))
        return HTMLResponse(page, headers=_HEADERS)

    return app


def _operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What the documentation page shows of an OpenAPI schema, flat."""
    shown = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            content = operation["responses"].get("200", {}).get("content", {})
            shape = content.get("application/json", {}).get("schema", {})
            shown.append(
                {
                    "method": method.upper(),
                    "path": path,
                    "summary": operation.get("summary", ""),
                    "parameters": operation.get("parameters", []),
                    "answers": shape.get("title") or shape.get("$ref", "").rsplit("/", 1)[-1] or "text",
                }
            )
    return shown
