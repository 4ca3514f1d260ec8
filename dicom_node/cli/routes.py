"""``routes``: what each called AE title does, and what it would do with a folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicom_node.cli.configuration import CommentOption, change
from dicom_node.cli.output import ConfigOption, JsonOption, plain_text, print_json, print_table, say
from dicom_node.config import Route, Settings, load_settings
from dicom_node.config.editing import value_of
from dicom_node.errors import ConfigError, NodeError
from s2ldm_core.documents import nearest

if TYPE_CHECKING:
    from dicom_node.service.trial import Trial

TitleArgument = Annotated[str, typer.Argument(metavar="TITLE", help="The called AE title.")]

commands = typer.Typer(help="Routes: called AE titles.", no_args_is_help=True)


@commands.command("list", epilog="Example: s2ldm-node routes list")
def list_routes(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the routes."""
    settings = load_settings(config)
    if as_json:
        print_json({title: route.model_dump(mode="json") for title, route in settings.routes.items()})
        return
    print_table(
        ("CALLED AE TITLE", "PHASE", "MODEL", "OUTPUT", "MIN SLICES", "DESTINATIONS", "SELECTS"),
        (
            (
                title if route.enabled else f"{title} (disabled)",
                route.asked,
                route.model,
                route.output,
                settings.min_slices(title),
                ", ".join(route.destinations),
                plain_text(route.select.model_dump(exclude_defaults=True)),
            )
            for title, route in settings.routes.items()
        ),
    )


@commands.command(
    "set", epilog="Example: s2ldm-node routes set CECT_ART phase=venous --comment 'as the liver board asked'"
)
def set_route(
    title: TitleArgument,
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Such as phase=venous destinations=[pacs].")
    ],
    config: ConfigOption = None,
    comment: CommentOption = "",
) -> None:
    """Change keys of a route, or add one. A running node takes it up within seconds."""
    changes = {}
    for one in keys:
        key, equals, value = one.partition("=")
        if not equals:
            raise ConfigError("config_key", f"{one!r} has no =.", "Write KEY=VALUE, as in phase=venous.")
        changes[("routes", title, *key.split("."))] = value_of(value)
    change(config, changes, comment=comment)


@commands.command("enable", epilog="Example: s2ldm-node routes enable CECT_ART")
def enable_route(title: TitleArgument, config: ConfigOption = None, comment: CommentOption = "") -> None:
    """Have a route take series again."""
    _switch(config, title, enabled=True, comment=comment)


@commands.command("disable", epilog="Example: s2ldm-node routes disable CECT_ART")
def disable_route(title: TitleArgument, config: ConfigOption = None, comment: CommentOption = "") -> None:
    """Have a route turn away new associations. What it has received goes on."""
    _switch(config, title, enabled=False, comment=comment)


def _switch(config: Path | None, title: str, *, enabled: bool, comment: str) -> None:
    _chosen(load_settings(config), title)
    change(config, {("routes", title, "enabled"): enabled}, comment=comment)


@commands.command("test", epilog="Example: s2ldm-node routes test /data/some-study --route CECT_ART --picture seen.png")
def try_routes(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with DICOM files.")],
    config: ConfigOption = None,
    route: Annotated[str | None, typer.Option(help="This called AE title alone.", show_default=False)] = None,
    picture: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw the series here, as a PNG.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what every route would do with every series in a folder, rule by rule, and why. Nothing is sent or stored."""
    from dicom_node.service.trial import try_folder

    settings = load_settings(config)
    trials, not_dicom = try_folder(folder, settings, _chosen(settings, route))
    if picture is not None:
        _draw(trials, picture)
    if as_json:
        print_json({"decisions": [_plain(one) for one in trials], "not_dicom": not_dicom})
        return
    print_table(
        ("SERIES", "IMAGES", "ROUTE", "DECISION", "REASON"),
        ((one.series_uid, len(one.files), one.title, _verdict(one), one.decision.reason) for one in trials),
    )
    for one in trials:
        say(f"\n{one.title}, series {one.series_uid}: {_consequence(one)}")
        print_table(("RULE", "ANSWER", "SEEN"), _asked(one))
    if not_dicom:
        say(f"{not_dicom} files are not DICOM and were passed over.")
    if picture is not None:
        say(f"{picture} shows them.")


def _chosen(settings: Settings, title: str | None) -> dict[str, Route]:
    if title is None:
        return settings.routes
    if title not in settings.routes:
        raise ConfigError(
            "route_unknown",
            f"There is no route {title!r}{nearest(title, settings.routes)}.",
            "s2ldm-node routes list names those that there are.",
        )
    return {title: settings.routes[title]}


def _plain(trial: "Trial") -> dict[str, Any]:
    decision = trial.decision
    return {
        "series": trial.series_uid,
        "route": trial.title,
        "images": len(trial.files),
        "accepted": decision.accepted,
        "code": decision.code,
        "reason": decision.reason,
        "details": dict(decision.details),
        "rules": [
            {
                "rule": name,
                "objects": finding.problem is not None,
                "seen": {**finding.details, **finding.seen},
            }
            for name, finding in decision.findings
        ],
        "not_asked": list(trial.not_asked),
    }


def _verdict(trial: "Trial") -> str:
    return "translate" if trial.decision.accepted else "refuse"


def _consequence(trial: "Trial") -> str:
    if not trial.decision.accepted:
        return f"refused ({trial.decision.code}), and nothing is sent."
    route, count = trial.route, len(trial.decision.slices)
    where = ", ".join(route.destinations) or "nowhere: it stays in data_dir"
    return (
        f"{count} slices are translated to {route.asked} by {route.model}, written as {route.output}, sent to {where}."
    )


def _asked(trial: "Trial") -> Iterator[tuple[str, str, str]]:
    for name, finding in trial.decision.findings:
        seen = plain_text(dict(finding.seen) or dict(finding.details))
        yield name, "passes" if finding.problem is None else "OBJECTS", seen
    for name in trial.not_asked:
        yield name, "not asked", ""


def _draw(trials: "Sequence[Trial]", path: Path) -> None:
    from dicom_node.series.contact_sheet import MAX_SERIES, Pictured, draw_contact_sheet

    by_series: dict[str, list[Trial]] = {}
    for one in trials:
        by_series.setdefault(one.series_uid, []).append(one)
    pictured = [
        Pictured(
            files=of_series[0].files,
            heading=f"series {number} of {len(by_series)}: {len(of_series[0].files)} images, {uid}",
            lines=[
                (f"{one.title}: {_verdict(one)}. {one.decision.reason}", one.decision.accepted) for one in of_series
            ],
        )
        for number, (uid, of_series) in enumerate(by_series.items(), start=1)
    ]
    try:
        draw_contact_sheet(pictured, path)
    except OSError as error:
        raise NodeError(
            "picture_not_written",
            f"{path} cannot be written: {error.strerror or type(error).__name__}.",
            "Name a file in a folder that can be written to.",
        ) from error
    if len(pictured) > MAX_SERIES:
        say(f"{path} shows {MAX_SERIES} of {len(pictured)} series.", err=True)
