"""The web application: health, metrics, the JSON interface, and pages that need nothing from elsewhere."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from dicom_node import __version__
from dicom_node.audit.trail import AuditTrail
from dicom_node.catalog import Catalog
from dicom_node.config import SettingsSource
from dicom_node.people.accounts import SESSION_TIME, Accounts
from dicom_node.people.oidc_settings import OidcSettings
from dicom_node.service.configuration import Configuration
from dicom_node.service.health import HealthCheck
from dicom_node.service.packages import Packages
from dicom_node.service.pictures import Pictures
from dicom_node.web.access import describe
from dicom_node.web.answers import CheckAnswer, ReadyAnswer
from dicom_node.web.api import api_router
from dicom_node.web.api_configuration import configuration_router, destination_router, route_router
from dicom_node.web.api_models import model_router
from dicom_node.web.api_people import people_router, session_router
from dicom_node.web.api_series import job_router, picture_router, series_router
from dicom_node.web.doors import Doors
from dicom_node.web.keeper import DoorKeeper
from dicom_node.web.pages import Pages, Parts, add_static, series_pages
from dicom_node.web.pages_configuration import configuration_pages
from dicom_node.web.pages_models import model_pages
from dicom_node.web.pages_oidc import oidc_pages
from dicom_node.web.pages_people import people_pages
from dicom_node.web.pages_quarantine import quarantine_pages
from dicom_node.web.problems import answer_problems

if TYPE_CHECKING:
    from dicom_node.people.oidc import Oidc


def create_app(
    settings: SettingsSource,
    catalog: Catalog,
    *,
    readiness: Callable[[], Sequence[HealthCheck]],
    metrics: Callable[[], bytes],
    trail: AuditTrail | None = None,
) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    settings
        What the node does; a `Configuration` can also be changed.
    readiness
        Checks every part of the node.
    metrics
        Gives the metrics in Prometheus' text format.
    trail
        Where it is recorded who came, looked and changed.
    """
    configuration = settings if isinstance(settings, Configuration) else Configuration(settings.current)
    provider = configuration.current.web.oidc
    accounts = Accounts(
        catalog,
        issuer=None if provider is None else provider.issuer,
        provided_time=SESSION_TIME if provider is None else timedelta(hours=provider.session_hours),
        tell=None if trail is None else trail.note,
    )
    packages = Packages(configuration, catalog)
    packages.clear()
    doors = Doors(configuration.current.web, accounts)
    pictures = Pictures(catalog, configuration)
    pictures.clear()
    # FastAPI's own documentation pages load scripts from a CDN, which hospital networks do not reach.
    app = FastAPI(
        title="S2LDM node",
        version=__version__,
        summary="State of the node, and changes. Patient data only for those who may see pictures.",
        docs_url=None,
        redoc_url=None,
    )
    parts = Parts(catalog=catalog, configuration=configuration, pictures=pictures, readiness=readiness)
    pages = Pages(parts)
    app.add_middleware(DoorKeeper, doors=doors, answer=answer_problems(app, page=pages.problem))

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

    for router in (
        api_router(configuration, catalog),
        series_router(catalog, configuration),
        picture_router(pictures, catalog, trail),
        job_router(catalog, configuration),
        configuration_router(configuration),
        route_router(configuration, catalog),
        destination_router(configuration),
        session_router(accounts),
        people_router(accounts),
        model_router(packages),
    ):
        app.include_router(router)
    app.include_router(series_pages(pages, parts))
    app.include_router(configuration_pages(pages, parts))
    app.include_router(quarantine_pages(pages, parts))
    app.include_router(people_pages(pages, accounts))
    app.include_router(oidc_pages(pages, accounts, None if provider is None else _oidc(provider)))
    app.include_router(model_pages(pages, packages))
    add_static(app)
    _describe_access(app)
    return app


def _oidc(settings: OidcSettings) -> "Oidc":
    # Cryptography and a client of OAuth: only for a node that has a provider.
    from dicom_node.people.oidc import Oidc

    return Oidc(settings)


def _describe_access(app: FastAPI) -> None:
    """Have the interface's description say what each operation needs."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            describe(plain())
        return plain()

    app.openapi = described  # type: ignore[method-assign]
