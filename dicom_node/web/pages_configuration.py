"""The console's pages about routes, destinations, peers and the configuration file."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from dicom_node.config import Route
from dicom_node.config.editing import REMOVE, set_keys
from dicom_node.config.peers import allowed
from dicom_node.config.versions import difference, digest_of
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.errors import ConfigError, NodeError
from dicom_node.web.api_configuration import (
    Editor,
    checked,
    file_of,
    history_of,
    paused,
    trial_answer,
    try_stored,
)
from dicom_node.web.asking import Who
from dicom_node.web.forms import Field, changes_of, fields_of, help_texts, one_of, refill
from dicom_node.web.pages import Form, Pages, Parts, see
from dicom_node.web.types import Number, Offset
from s2ldm_core.problem import Problem

_VERSIONS = 20
_EXAMPLES = {"routes": "CECT_ART", "destinations": "pacs"}


def configuration_pages(pages: Pages, parts: Parts) -> APIRouter:
    """Pages about the configuration."""
    router = APIRouter(include_in_schema=False)
    editor = Editor(parts.configuration)
    forms = _Forms(pages, parts, editor)

    @router.get("/routes")
    def routes(request: Request) -> HTMLResponse:
        return pages.show(request, "routes.html", routes=parts.configuration.current.routes)

    @router.get("/destinations")
    def destinations(request: Request) -> HTMLResponse:
        counts = parts.catalog.count_deliveries()
        settings = parts.configuration.current
        news = parts.catalog.news_of_destinations(settings.destinations)
        return pages.show(request, "destinations.html", destinations=settings.destinations, counts=counts, news=news)

    @router.post("/destinations/{name}/check")
    def check(request: Request, name: str) -> HTMLResponse:
        return pages.show(request, "checked.html", answer=checked(parts.configuration.current, name))

    @router.post("/destinations/{name}/pause")
    def pause(name: str, who: Who) -> Response:
        paused(editor, parts.configuration.current, name, True, who=who)
        return see("/destinations")

    @router.post("/destinations/{name}/resume")
    def resume(name: str, who: Who) -> Response:
        paused(editor, parts.configuration.current, name, False, who=who)
        return see("/destinations")

    @router.get("/peers")
    def peers(request: Request) -> HTMLResponse:
        settings = parts.configuration.current
        return pages.show(request, "peers.html", peers=settings.node.peers, rejected=parts.catalog.rejected_peers())

    @router.post("/peers/allow")
    def allow(form: Form, who: Who) -> Response:
        ae_title, host = one_of(form, "ae_title"), one_of(form, "host") or None
        changes = allowed(parts.configuration.current, ae_title, host)
        editor.change(lambda book: book.set(changes, who=who, comment=f"{ae_title} may send"))
        return see("/peers")

    @router.get("/settings")
    def settings(request: Request, offset: Offset = 0) -> HTMLResponse:
        return _settings(request, file_of(editor.book, parts.configuration).text, offset=offset)

    @router.post("/settings")
    def write(request: Request, form: Form, who: Who) -> Response:
        text = one_of(form, "text").replace("\r\n", "\n")
        seen, comment = one_of(form, "seen"), one_of(form, "comment")
        try:
            if one_of(form, "do") == "save":
                editor.change(lambda book: book.write(text, who=who, comment=comment, seen=seen))
                return see("/settings")
            editor.book.read(text)
        except ConfigError as error:
            return _settings(request, text, problem=error.problem, comment=comment, status=422)
        return _settings(request, text, difference=difference(editor.book.text(), text), comment=comment)

    def _settings(
        request: Request,
        text: str,
        *,
        offset: int = 0,
        status: int = 200,
        problem: Problem | None = None,
        difference: str | None = None,
        comment: str = "",
    ) -> HTMLResponse:
        return pages.show(
            request,
            "settings.html",
            status=status,
            file=file_of(editor.book, parts.configuration),
            text=text,
            history=history_of(editor.book, limit=_VERSIONS, offset=offset),
            problem=problem,
            difference=difference,
            comment=comment,
        )

    @router.post("/settings/rollback/{version}")
    def roll_back(version: Number, who: Who) -> Response:
        editor.change(lambda book: book.roll_back(version, who=who))
        return see("/settings")

    for section in ("routes", "destinations"):
        _add_forms(router, section, forms)
    return router


def _add_forms(router: APIRouter, section: str, forms: "_Forms") -> None:
    """Pages to add and to change a route or a destination."""

    @router.get(f"/{section}/new")
    def new(request: Request) -> HTMLResponse:
        return forms.show(request, section, None)

    @router.get(f"/{section}/{{name}}")
    def edit(request: Request, name: str) -> HTMLResponse:
        return forms.show(request, section, name)

    @router.post(f"/{section}/new")
    def add(request: Request, form: Form, who: Who) -> Response:
        return forms.take(request, section, None, form, who)

    @router.post(f"/{section}/{{name}}")
    def change(request: Request, name: str, form: Form, who: Who) -> Response:
        return forms.take(request, section, name, form, who)


class _Forms:
    """The form of a route or a destination: filled in, its difference looked at, saved."""

    def __init__(self, pages: Pages, parts: Parts, editor: Editor) -> None:
        self._pages = pages
        self._parts = parts
        self._editor = editor

    def show(self, request: Request, section: str, name: str | None) -> HTMLResponse:
        """As things are."""
        return self._render(request, section, name, self._fields(section, name))

    def take(
        self, request: Request, section: str, name: str | None, form: Mapping[str, Sequence[str]], who: str
    ) -> Response:
        """What is filled in: to look at what it would change, to try, to save, or to take the whole away."""
        do, comment = one_of(form, "do"), one_of(form, "comment")
        title = name or one_of(form, "name").strip()
        fields = self._fields(section, name)
        try:
            if do in ("switch_on", "switch_off"):
                return self._switch(section, title, who, on=do == "switch_on")
            if do == "remove" and name is not None:
                self._editor.set((section, name), REMOVE, who=who, comment=comment or f"{name} taken away")
                return see(f"/{section}")
            changes = self._changes(section, name, title, fields, form)
            if do == "save":
                seen = one_of(form, "seen") or None
                self._editor.change(lambda book: book.set(changes, who=who, comment=comment, seen=seen))
                return see(f"/{section}")
            before = self._editor.book.text()
            after = set_keys(before, changes)
            self._editor.book.read(after)
            tried = self._try(form, title, fields) if do == "try" else None
        except NodeError as error:
            return self._render(
                request, section, name, refill(fields, form), form=form, problem=error.problem, status=422
            )
        return self._render(
            request,
            section,
            name,
            refill(fields, form),
            form=form,
            difference=difference(before, after),
            seen=digest_of(before),
            tried=tried,
        )

    def _switch(self, section: str, name: str, who: str, *, on: bool) -> Response:
        key, value = ("enabled", on) if section == "routes" else ("paused", not on)
        self._known(section, name)
        word = "on" if on else "off"
        self._editor.set((section, name, key), value, who=who, comment=f"{name} switched {word}")
        return see(f"/{section}")

    def _changes(
        self, section: str, name: str | None, title: str, fields: Sequence[Field], form: Mapping[str, Sequence[str]]
    ) -> dict[tuple[str, ...], Any]:
        if not title:
            raise ConfigError("config_key", "A name is missing.", "Fill in the name.")
        if name is None and title in getattr(self._parts.configuration.current, section):
            raise ConfigError("config_key", f"{title} is there already.", f"Change it at /{section}/{title}.")
        changes = {(section, title, *location): value for location, value in changes_of(form, fields).items()}
        if name is None and section == "routes":
            changes.setdefault((section, title, "phase"), one_of(form, "phase"))
        # The default follows from the phase; the number of the form is that of the old one.
        offset = (section, title, "series_number_offset")
        if name is None:
            changes.pop(offset, None)
        return changes

    def _try(self, form: Mapping[str, Sequence[str]], title: str, fields: Sequence[Field]) -> Any:
        series = one_of(form, "series").strip()
        if not (series.isascii() and series.isdigit() and 0 < len(series) < 19):
            raise NodeError("wrong_request", "Name a stored series by its number.", "See the list of series.")
        settings = self._parts.configuration.current
        known = settings.routes.get(title)
        values: dict[str, Any] = {} if known is None else known.model_dump(mode="json", exclude_unset=True)
        for location, value in {("phase",): one_of(form, "phase"), **changes_of(form, fields)}.items():
            place = values
            for key in location[:-1]:
                place = place.setdefault(key, {})
            place[location[-1]] = value
        return trial_answer(try_stored(settings, self._parts.catalog, title, int(series), values))

    def _fields(self, section: str, name: str | None) -> list[Field]:
        settings = self._parts.configuration.current
        helps = help_texts(section, _EXAMPLES[section])
        if name is not None:
            self._known(section, name)
            values = getattr(settings, section)[name]
        elif section == "routes":
            values = Route(phase="arterial")
        else:
            values = DicomSettings(ae_title="PEER", host="127.0.0.1", port=104)
        return fields_of(values, helps=helps, destinations=settings.destinations)

    def _known(self, section: str, name: str) -> None:
        if name not in getattr(self._parts.configuration.current, section):
            code = "route_unknown" if section == "routes" else "destination_unknown"
            raise ConfigError(code, f"There is no {name!r} among the {section}.", f"See /{section}.")

    def _render(
        self,
        request: Request,
        section: str,
        name: str | None,
        fields: Sequence[Field],
        *,
        form: Mapping[str, Sequence[str]] | None = None,
        status: int = 200,
        problem: Problem | None = None,
        difference: str | None = None,
        seen: str = "",
        tried: Any = None,
    ) -> HTMLResponse:
        form = form or {}
        return self._pages.show(
            request,
            "form.html",
            status=status,
            section=section,
            name=name,
            title=name or one_of(form, "name"),
            fields=fields,
            comment=one_of(form, "comment"),
            series=one_of(form, "series"),
            problem=problem,
            difference=difference,
            seen=seen,
            tried=tried,
        )
