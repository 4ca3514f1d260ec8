"""The console's pages about series; `dicom_node.web.pages_configuration` has those about the configuration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.staticfiles import StaticFiles

from dicom_node import __version__
from dicom_node.catalog import Catalog, JobState
from dicom_node.errors import CatalogError, NodeError
from dicom_node.people.identity import STRANGER
from dicom_node.people.roles import Role
from dicom_node.receive.requeue import requeue
from dicom_node.service.configuration import Configuration
from dicom_node.service.health import HealthCheck
from dicom_node.service.pictures import Pictures
from dicom_node.web.api_series import may_see_patients, redelivered
from dicom_node.web.asking import Who, identity_of
from dicom_node.web.board import RENEWED_SECONDS, Board, Shown
from dicom_node.web.forms import one_of, read_form
from dicom_node.web.operations import operations
from dicom_node.web.timeline import story_of
from dicom_node.web.today import today_values
from dicom_node.web.types import Number, Offset
from s2ldm_core.problem import Problem

_SHOWN = 50
#: Other routes whose synthetic series stand beside that of a series.
_BESIDE = 3
_MOST_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the pages show and change."""

    catalog: Catalog
    configuration: Configuration
    pictures: Pictures
    readiness: Callable[[], Sequence[HealthCheck]]


class Pages:
    """Renders templates."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._templates = Environment(
            loader=PackageLoader("dicom_node.web"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters["time"] = _time
        self._templates.filters["day"] = _day

    def draw(self, template: str, **values: Any) -> str:
        """A part of a page that is the same for everybody."""
        return self._templates.get_template(template).render(values)

    def show(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page."""
        identity = identity_of(request)
        common = {
            "version": __version__,
            "identity": identity,
            "may": {role.value: identity.role is not None and identity.role.covers(role) for role in Role},
            # While people log in, the frame of a page that is refused says nothing of the node.
            "inside": identity != STRANGER or template not in ("login.html", "entered.html", "problem.html"),
            "path": request.url.path,
            "provider": None if (oidc := self._parts.configuration.current.web.oidc) is None else oidc.host,
            "notice": "" if identity == STRANGER else self._parts.configuration.detail(),
        }
        return HTMLResponse(self._templates.get_template(template).render(common | values), status_code=status)

    def problem(self, request: Request, problem: Problem, status: int) -> HTMLResponse:
        """A page that says what is wrong."""
        return self.show(
            request, "problem.html", status=status, problem=problem, missing=status == HTTPStatus.NOT_FOUND
        )


async def form_of(request: Request) -> dict[str, list[str]]:
    """The form that a page sent."""
    return read_form(await request.body())


Form = Annotated[dict[str, list[str]], Depends(form_of)]


def see(path: str) -> RedirectResponse:
    """Go to a page of this node after a change."""
    return RedirectResponse(path, status_code=303)


def series_pages(pages: Pages, parts: Parts) -> APIRouter:
    """Today, the list of series, one series, and what can be done with them."""
    router = APIRouter(include_in_schema=False)
    catalog = parts.catalog

    board = Board(
        lambda: today_values(catalog, readiness=parts.readiness, routes=parts.configuration.current.routes),
        lambda values, may_view: pages.draw("today_body.html", may_view=may_view, **values),
    )

    def show_board(request: Request, template: str, shown: Shown) -> HTMLResponse:
        # Drawn by a template, which escaped what it was given.
        html = Markup(shown.html)  # noqa: S704
        return pages.show(request, template, shown=html, mark=shown.mark, every=RENEWED_SECONDS)

    @router.get("/")
    def today(request: Request) -> HTMLResponse:
        shown = board.shown(may_view=may_see_patients(identity_of(request)), anew=True)
        return show_board(request, "today.html", shown)

    @router.get("/parts/today")
    def today_part(request: Request, seen: Annotated[str, Query(max_length=64)] = "") -> Response:
        shown = board.shown(may_view=may_see_patients(identity_of(request)))
        # htmx leaves a page alone whose renewal brings no content, and with it where somebody is in it.
        return Response(status_code=204) if seen == shown.mark else show_board(request, "today_part.html", shown)

    @router.get("/series")
    def series(
        request: Request,
        query: Annotated[str, Query(max_length=128)] = "",
        route: Annotated[str, Query(max_length=16)] = "",
        job_state: Annotated[str, Query(max_length=16)] = "",
        offset: Offset = 0,
    ) -> HTMLResponse:
        knows = may_see_patients(identity_of(request))
        rows = catalog.find_series(
            query=query.strip() or None,
            by_patient=knows,
            route=route or None,
            job_state=job_state or None,
            limit=_SHOWN + 1,
            offset=offset,
        )
        keys = [row.key for row in rows]
        jobs, patients = catalog.jobs_of_series(keys), catalog.subjects_of(keys) if knows else {}
        return pages.show(
            request,
            "series_list.html",
            rows=[(row, next(iter(jobs[row.key]), None), patients.get(row.key)) for row in rows[:_SHOWN]],
            more=len(rows) > _SHOWN,
            asked={"query": query, "route": route, "job_state": job_state},
            offset=offset,
            shown=_SHOWN,
            routes=sorted(parts.configuration.current.routes),
            states=[state.value for state in JobState],
        )

    @router.get("/series/{series}")
    def one_series(request: Request, series: Number) -> HTMLResponse:
        row = catalog.get_series(series)
        jobs = catalog.jobs_of_series([series])[series]
        return pages.show(
            request,
            "series.html",
            series=row,
            patient=catalog.subjects_of([series]).get(series) if may_see_patients(identity_of(request)) else None,
            jobs=jobs,
            events=story_of(catalog, series),
            destinations=sorted(parts.configuration.current.destinations),
            routes=sorted(set(parts.configuration.current.routes) - {row.route}),
            shown=parts.pictures.job_shown(series),
            beside=[
                (other, job)
                for other in catalog.on_other_routes(row)[:_BESIDE]
                if (job := parts.pictures.job_shown(other.key)) is not None
            ],
        )

    @router.post("/series/{series}/requeue")
    def requeue_series(series: Number, form: Form) -> Response:
        requeue(series, route=one_of(form, "route"), settings=parts.configuration.current, catalog=catalog)
        return see("/series")

    @router.post("/jobs/act")
    def act(request: Request, form: Form, who: Who) -> Response:
        what, back = one_of(form, "do"), one_of(form, "back")
        numbers = [int(text) for text in form.get("job", ()) if text.isascii() and text.isdigit() and len(text) < 19]
        if not numbers or len(numbers) > _MOST_AT_ONCE:
            raise NodeError("wrong_request", f"Choose 1 to {_MOST_AT_ONCE} jobs.", "Go back and choose some.")
        refused = []
        for number in numbers:
            try:
                _act(parts, what, number, one_of(form, "destination") or None, who)
            except CatalogError as error:
                refused.append((number, error.problem))
        if refused:
            return pages.show(
                request, "refused.html", status=409, refused=refused, done=len(numbers) - len(refused), back=_back(back)
            )
        return see(_back(back))

    @router.get("/docs")
    def docs(request: Request) -> HTMLResponse:
        return pages.show(request, "docs.html", operations=operations(request.app.openapi()))

    return router


def _act(parts: Parts, what: str, job: int, destination: str | None, who: str) -> None:
    if what in ("retry", "again"):
        parts.catalog.retry_job(job, again=what == "again", who=who)
    elif what == "cancel":
        parts.catalog.cancel_job(job, who=who)
    elif what == "redeliver":
        redelivered(parts.catalog, parts.configuration, job, destination, who=who)
    else:
        raise NodeError("wrong_request", "Choose what to do with the jobs.", "Go back and choose.")


def own_path(path: str) -> str:
    """A path of this node, whatever a form or an address says: never another site's."""
    plain = path.startswith("/") and path.isprintable() and "\\" not in path
    return path if plain and not path.startswith("//") else "/"


def _back(path: str) -> str:
    """Where the list of series or one of them is, as a form says."""
    return own_path(path) if path.startswith("/series") else "/series"


def _time(value: datetime | None) -> str:
    return "" if value is None else value.strftime("%Y-%m-%d %H:%M:%S UTC")


def _day(value: str) -> str:
    """A date as people write it, of one as DICOM does (PS3.5 6.2, DA); what is none stays as it is."""
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isdecimal() else value


def add_static(app: FastAPI) -> None:
    """Serve style, script and htmx from the package."""
    folder = str(resources.files("dicom_node.web") / "static")
    app.mount("/static", StaticFiles(directory=folder), name="static")
