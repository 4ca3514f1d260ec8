"""``check``: is the configuration good, and can the node work with it?"""

import errno
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

import typer

from dicom_node.cli.output import ConfigOption, print_table
from dicom_node.cli.peers import calling_ae
from dicom_node.config import Settings, default_config_path, load_settings
from dicom_node.errors import NodeError
from dicom_node.health import disk_problem
from s2ldm_core.errors import S2LDMError

Check = tuple[str, Callable[[], str | None]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: s2ldm-node check --config config/node.yaml")(check)


def check(
    config: ConfigOption = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="Print the default configuration and stop.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not call the destinations.")] = False,
) -> None:
    """Validate the configuration, reach the destinations, load the models; say what is wrong and where."""
    if defaults:
        typer.echo(default_config_path().read_text(encoding="utf-8"), nl=False)
        return
    settings = load_settings(config)
    results = [("configuration", "ok", str(config or default_config_path()))]
    results += [("routes", "warning", warning) for warning in _warnings(settings)]
    wrong = 0
    for name, look in _checks(settings, offline=offline):
        problem = _problem(look)
        wrong += problem is not None
        results.append((name, "ok" if problem is None else "WRONG", problem or ""))
    print_table(("CHECK", "", ""), results)
    if wrong:
        raise NodeError("check_failed", f"{wrong} of {len(results)} checks failed.")


def _checks(settings: Settings, *, offline: bool) -> Iterator[Check]:
    yield "node.data_dir", partial(_data_dir, settings)
    yield "node.port", partial(_port, settings.node.host, settings.node.port)
    yield "web.port", partial(_port, settings.web.host, settings.web.port)
    models: dict[str, set[str]] = {}
    for route in settings.routes.values():
        models.setdefault(route.model, set()).add(route.phase)
    for model, phases in models.items():
        yield f"model {model}", partial(_model, model, phases=phases)
    if not offline:
        for name in settings.destinations:
            yield f"destinations.{name}", partial(_destination, name, settings)


def _warnings(settings: Settings) -> Iterator[str]:
    for first, second in settings.same_series_numbers():
        yield (
            f"{first} and {second} give their derived series the same Series Number, and a destination gets both: "
            "set another series_number_offset for one of them."
        )


def _problem(look: Callable[[], str | None]) -> str | None:
    try:
        return look()
    except (NodeError, S2LDMError) as error:
        return f"{error.sentence} {error.remedy}".strip()
    except OSError as error:
        return error.strerror or type(error).__name__


def _data_dir(settings: Settings) -> str | None:
    folder = settings.node.data_dir
    there = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return f"{there} is not a folder that can be written to."
    if folder.exists():
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    return disk_problem(str(there), min_free_mib=settings.node.min_free_mib)


def _port(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"{host}:{port} is in use; if that is this node, it runs already."
            return f"{host}:{port} cannot be listened on: {error.strerror}."
    return None


def _model(model: str, *, phases: set[str]) -> str | None:
    from s2ldm_core.package import ModelPackage

    package = ModelPackage.load(model)
    if unknown := sorted(phases.difference(package.metadata.phases)):
        known = ", ".join(package.metadata.phases)
        return f"Routes ask {model} for the phase {', '.join(unknown)}; it knows {known}."
    package.build(device="cpu")
    return None


def _destination(name: str, settings: Settings) -> str | None:
    from dicom_node.deliver.scu import echo

    destination = settings.destinations[name]
    echo(destination, calling_ae=calling_ae(destination, settings))
    return None
