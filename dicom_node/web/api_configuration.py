"""The configuration under ``/api``: its text, its history, routes and destinations."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body

from dicom_node.catalog import Catalog
from dicom_node.config import Route, Settings, parse_settings
from dicom_node.config.book import ConfigBook
from dicom_node.config.editing import REMOVE
from dicom_node.config.versions import Version, digest_of
from dicom_node.errors import ConfigError, DeliverError, NodeError
from dicom_node.service.configuration import Configuration
from dicom_node.service.destination_check import check_destination
from dicom_node.service.trial import Trial, try_series
from dicom_node.web.answers import (
    ChangeAnswer,
    ConfigAnswer,
    ConfigChange,
    DestinationCheck,
    Page,
    RouteTrial,
    RuleAnswer,
    TrialAnswer,
    VersionAnswer,
)
from dicom_node.web.api import page_of
from dicom_node.web.asking import Who
from dicom_node.web.types import Comment, Limit, Number, Offset, problems

#: Deeper is no configuration.
_MOST_DEPTH = 12
Values = Annotated[dict[str, Any], Body(description="Keys as in the configuration file")]


class Editor:
    """Changes the configuration and has the running node take it up at once."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    @property
    def book(self) -> ConfigBook:
        """The file; raises `ConfigError` (``config_not_from_a_file``)."""
        if self._configuration.book is None:
            raise ConfigError(
                "config_not_from_a_file",
                "This node was started without a configuration file.",
                "Start it with --config FILE or S2LDM_CONFIG.",
            )
        return self._configuration.book

    def change(self, edit: Callable[[ConfigBook], Version]) -> ChangeAnswer:
        """Change the file; errors as in `ConfigBook.write`."""
        version = edit(self.book)
        self._configuration.run_once()
        return ChangeAnswer(version=version.number, needs_restart=list(self._configuration.waiting))

    def set(self, location: tuple[str, ...], value: Any, *, who: str, comment: str) -> ChangeAnswer:
        """Change one key, `REMOVE` takes it away; errors as in `change`."""
        if value is not REMOVE and _depth(value) > _MOST_DEPTH:
            raise ConfigError("config_value", "The value is nested too deeply.", "See the default configuration.")
        return self.change(lambda book: book.set({location: value}, who=who, comment=comment))


def configuration_router(configuration: Configuration) -> APIRouter:
    """The file and its history."""
    router = APIRouter(prefix="/api/config", tags=["configuration"], responses=problems(401, 403, 404, 409, 422))
    editor = Editor(configuration)

    @router.get("", summary="The configuration file")
    def read() -> ConfigAnswer:
        return file_of(editor.book, configuration)

    @router.put("", summary="Write the configuration file")
    def write(change: ConfigChange, who: Who) -> ChangeAnswer:
        return editor.change(lambda book: book.write(change.text, who=who, comment=change.comment, seen=change.seen))

    @router.get("/history", summary="Versions of the configuration, newest first")
    def history(limit: Limit = 20, offset: Offset = 0) -> Page[VersionAnswer]:
        return history_of(editor.book, limit=limit, offset=offset)

    @router.post("/rollback/{version}", summary="Go back to a version")
    def roll_back(version: Number, who: Who, comment: Comment = "") -> ChangeAnswer:
        return editor.change(lambda book: book.roll_back(version, who=who, comment=comment))

    return router


def file_of(book: ConfigBook, configuration: Configuration) -> ConfigAnswer:
    """The file as it is."""
    text, last = book.text(), book.versions.last()
    return ConfigAnswer(
        text=book.shown(),
        seen=digest_of(text),
        version=None if last is None or last.text != text else last.number,
        problem=configuration.problem,
        needs_restart=list(configuration.waiting),
    )


def history_of(book: ConfigBook, *, limit: int, offset: int) -> Page[VersionAnswer]:
    """Versions with what each changed."""
    rows = book.versions.newest(limit=limit + 1, offset=offset)
    answers = [
        VersionAnswer(number=one.number, at=one.at, who=one.who, comment=one.comment, difference=one.difference(before))
        for one, before in zip(rows, [*rows[1:], None], strict=False)  # of the oldest there is no version before
    ]
    return page_of(answers, limit=limit, offset=offset)


def route_router(configuration: Configuration, catalog: Catalog) -> APIRouter:
    """Routes, one by one."""
    router = APIRouter(prefix="/api/routes", tags=["configuration"], responses=problems(401, 403, 404, 409, 422))
    editor = Editor(configuration)

    @router.get("/{title}", summary="One route as it is in force")
    def read(title: str) -> dict[str, Any]:
        return _route(configuration.current, title).model_dump(mode="json")

    @router.put("/{title}", summary="Add or change a route")
    def write(title: str, values: Values, who: Who, comment: Comment = "") -> ChangeAnswer:
        return editor.set(("routes", title), values, who=who, comment=comment)

    @router.delete("/{title}", summary="Take a route away")
    def remove(title: str, who: Who, comment: Comment = "") -> ChangeAnswer:
        _route(configuration.current, title)
        return editor.set(("routes", title), REMOVE, who=who, comment=comment)

    @router.post("/{title}/test", summary="What a route would do with a stored series")
    def test(title: str, trial: RouteTrial) -> TrialAnswer:
        return trial_answer(try_stored(configuration.current, catalog, title, trial.series, trial.route))

    return router


def try_stored(
    settings: Settings, catalog: Catalog, title: str, series: int, values: Mapping[str, Any] | None = None
) -> Trial:
    """What a route, as it is or as ``values`` would have it, would do with a stored series.

    Raises
    ------
    NodeError
        ``route_unknown``, ``config_invalid``, ``series_unknown`` or ``source_removed``.
    """
    if values is None:
        route = _route(settings, title)
    else:
        route = _as_route(title, values)
    row = catalog.get_series(series)
    paths = [one.path for one in catalog.series_instances(series)]
    files = [path for path in paths if path is not None]
    if len(files) < len(paths) or not files:
        raise NodeError("source_removed", "Retention has removed files of the series.", "Choose a newer one.")
    return try_series(
        files,
        series_uid=row.series_instance_uid,
        title=title,
        route=route,
        min_slices=route.min_slices or settings.series.min_slices,
        conflicts=row.conflict_count,
    )


def trial_answer(trial: Trial) -> TrialAnswer:
    """A trial as an answer; what free text says stays out, because it may name a patient."""
    decision = trial.decision
    return TrialAnswer(
        accepted=decision.accepted,
        problem=decision.problem,
        rules=[RuleAnswer(rule=one["rule"], objects=one["objects"], seen=one["details"]) for one in decision.asked],
    )


def destination_router(configuration: Configuration) -> APIRouter:
    """Destinations; their settings may hold secrets."""
    router = APIRouter(prefix="/api/destinations", tags=["configuration"], responses=problems(401, 403, 404, 409, 422))
    editor = Editor(configuration)

    @router.get("", summary="Destinations")
    def destinations() -> dict[str, dict[str, Any]]:
        return {name: one.model_dump(mode="json") for name, one in configuration.current.destinations.items()}

    @router.get("/{name}", summary="One destination as it is in force")
    def read(name: str) -> dict[str, Any]:
        _known(configuration.current, name)
        return configuration.current.destinations[name].model_dump(mode="json")

    @router.put("/{name}", summary="Add or change a destination")
    def write(name: str, values: Values, who: Who, comment: Comment = "") -> ChangeAnswer:
        return editor.set(("destinations", name), values, who=who, comment=comment)

    @router.delete("/{name}", summary="Take a destination away")
    def remove(name: str, who: Who, comment: Comment = "") -> ChangeAnswer:
        _known(configuration.current, name)
        return editor.set(("destinations", name), REMOVE, who=who, comment=comment)

    @router.post("/{name}/pause", summary="Send it nothing until it is resumed")
    def pause(name: str, who: Who, comment: Comment = "") -> ChangeAnswer:
        return paused(editor, configuration.current, name, True, who=who, comment=comment)

    @router.post("/{name}/resume", summary="Send to it again")
    def resume(name: str, who: Who, comment: Comment = "") -> ChangeAnswer:
        return paused(editor, configuration.current, name, False, who=who, comment=comment)

    @router.post("/{name}/check", summary="Is it there, and does it take what is sent to it?")
    def check(name: str) -> DestinationCheck:
        return checked(configuration.current, name)

    return router


def paused(editor: Editor, settings: Settings, name: str, pause: bool, *, who: str, comment: str = "") -> ChangeAnswer:
    """Pause or resume a destination; raises `ConfigError` (``destination_unknown``)."""
    _known(settings, name)
    said = comment or f"{name} {'paused' if pause else 'resumed'}"
    return editor.set(("destinations", name, "paused"), pause, who=who, comment=said)


def checked(settings: Settings, name: str) -> DestinationCheck:
    """Ask a destination; raises `ConfigError` (``destination_unknown``)."""
    _known(settings, name)
    try:
        return DestinationCheck(ok=True, found=check_destination(name, settings))
    except DeliverError as error:
        return DestinationCheck(ok=False, found=error.sentence, problem=error.problem)


def _route(settings: Settings, title: str) -> Route:
    if title not in settings.routes:
        raise ConfigError("route_unknown", f"There is no route {title!r}.", "See /api/routes.")
    return settings.routes[title]


def _as_route(title: str, values: Mapping[str, Any]) -> Route:
    # Its destinations are not asked about here.
    document = {"routes": {title: {**values, "destinations": []}}}
    return parse_settings(document, source="the route").routes[title]


def _known(settings: Settings, name: str) -> None:
    if name not in settings.destinations:
        raise ConfigError("destination_unknown", f"There is no destination {name!r}.", "See /api/destinations.")


def _depth(value: Any) -> int:
    levels, layer = 0, [value]
    while layer:
        levels += 1
        if levels > _MOST_DEPTH:
            break
        layer = [
            inner
            for one in layer
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
        ]
    return levels
