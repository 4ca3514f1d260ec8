"""``config``: what the node is told, by whom and when; changing it and going back."""

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from dicom_node.cli.output import ConfigOption, JsonOption, print_json, print_table, say, time_text
from dicom_node.config import Settings, config_path, load_settings, read_settings
from dicom_node.config.book import ConfigBook
from dicom_node.config.editing import location_of, value_of
from dicom_node.config.live import taken_up
from dicom_node.config.versions import Version

commands = typer.Typer(help="The configuration and its history.", no_args_is_help=True)

CommentOption = Annotated[str, typer.Option("--comment", "-m", help="Why, for the history.", show_default=False)]


@commands.command("show", epilog="Example: s2ldm-node config show --resolved")
def show(
    config: ConfigOption = None,
    resolved: Annotated[
        bool,
        typer.Option("--resolved", help="Every key as it is in force: with defaults, environment, absolute paths."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the configuration file."""
    path = config_path(config)
    if not resolved and not as_json:
        say(ConfigBook.of(path, load_settings(path)).shown(), nl=False)
        return
    values = load_settings(path).model_dump(mode="json")
    if as_json:
        print_json(values)
    else:
        say(f"# {path.absolute()}")
        say(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120), nl=False)


@commands.command(
    "set", epilog="Example: s2ldm-node config set routes.CECT_ART.phase venous --comment 'as the liver board asked'"
)
def set_key(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Such as routes.CECT_ART.phase.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="As in YAML: venous, 12, null, [a, b].")],
    config: ConfigOption = None,
    comment: CommentOption = "",
) -> None:
    """Change one key. A running node takes it up within seconds."""
    settings = load_settings(config)
    location = location_of(key, settings)
    change(config, {location: value_of(value)}, comment=comment)


@commands.command("history", epilog="Example: s2ldm-node config history --version 12")
def history(
    config: ConfigOption = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Show what this version changed.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most versions to list, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the versions that the configuration had: who, when and why."""
    versions = ConfigBook.of(config_path(config), load_settings(config)).versions
    if version is not None:
        earlier = [number for number in versions.numbers() if number < version]
        one = versions.get(version)
        difference = one.difference(versions.get(earlier[-1]) if earlier else None)
        if as_json:
            print_json(one.shown().model_dump(mode="json") | {"difference": difference})
        else:
            say(difference)
        return
    rows = versions.newest(limit=limit)
    if as_json:
        print_json([one.model_dump(mode="json", exclude={"text"}) for one in rows])
    elif rows:
        print_table(
            ("VERSION", "WHEN", "WHO", "WHY"), ((one.number, time_text(one.at), one.who, one.comment) for one in rows)
        )
    else:
        say("There is no version yet: the node keeps one when it starts, and after every change.")


@commands.command("rollback", epilog="Example: s2ldm-node config rollback 11")
def roll_back(
    version: Annotated[int, typer.Argument(metavar="VERSION", help="From config history.", min=1)],
    config: ConfigOption = None,
    comment: CommentOption = "",
) -> None:
    """Put an earlier version into the file again. It becomes the newest version."""
    path = config_path(config)
    before = load_settings(path)
    _say(_book(path, before).roll_back(version, who=who(), comment=comment), before, path)


def change(config: Path | None, changes: dict[tuple[str, ...], Any], *, comment: str) -> None:
    """Change keys of the configuration and say what came of it."""
    path = config_path(config)
    before = load_settings(path)
    _say(_book(path, before).set(changes, who=who(), comment=comment), before, path)


def _book(path: Path, settings: Settings) -> ConfigBook:
    from dicom_node.service.models import check_models

    return ConfigBook.of(path, settings, check=check_models)


def who() -> str:
    """Whoever runs the command, for the history."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (OSError, KeyError):
        return "command line"


def _say(version: Version, before: Settings, path: Path) -> None:
    after = read_settings(version.text, source=path.name)
    say(f"{path.name} is version {version.number} now.")
    if after == before:
        say("What is in force is the same as before: see the environment's S2LDM_ variables, which override the file.")
    waiting = taken_up(before, after)[1]
    if waiting:
        say(f"A running node takes this up when it is restarted: {', '.join(waiting)}.")
