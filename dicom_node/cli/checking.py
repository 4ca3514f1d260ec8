"""``check``: is the configuration good, and can the node work with it?"""

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated

import typer

from dicom_node.cli.output import ConfigOption, print_table, say
from dicom_node.config import Route, Settings, config_path, default_config_path, load_settings
from dicom_node.errors import NodeError
from dicom_node.service.destination_check import check_destination
from dicom_node.service.health import disk_problem
from s2ldm_core.errors import S2LDMError

#: A check returns what it found, or raises what is wrong.
Check = tuple[str, Callable[[], str]]


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
        say(default_config_path().read_text(encoding="utf-8"), nl=False)
        return
    settings = load_settings(config)
    results = [("configuration", "ok", str(config_path(config).absolute()))]
    results += [("routes", "warning", warning) for warning in _warnings(settings)]
    wrong = 0
    for name, look in _checks(settings, offline=offline):
        verdict, found = _result(look)
        wrong += verdict != "ok"
        results.append((name, verdict, found))
    print_table(("CHECK", "RESULT", "FOUND"), results)
    if wrong:
        raise NodeError(
            "check_failed",
            f"{wrong} of {len(results)} checks failed; see the lines marked WRONG.",
            "The node starts all the same unless its data_dir or a port is at fault, and works once the rest is well.",
        )


def _checks(settings: Settings, *, offline: bool) -> Iterator[Check]:
    from dicom_node.catalog.reaching import reach
    from dicom_node.service.lock import DataDirLock

    running = DataDirLock.is_held(settings.node.data_dir)
    yield "node.data_dir", partial(_data_dir, settings, running=running)
    yield "node.port", partial(_port, settings.node.host, settings.node.port, running=running)
    yield "web.port", partial(_port, settings.web.host, settings.web.port, running=running)
    if settings.several_nodes:
        yield "node.database", partial(reach, settings.catalog_location)
    models: dict[str, list[Route]] = {}
    for route in settings.routes.values():
        models.setdefault(route.model, []).append(route)
    for model, routes in models.items():
        yield f"model {model}", partial(_model, model, routes=routes)
    if not offline:
        for name in settings.destinations:
            yield f"destinations.{name}", partial(check_destination, name, settings)


def _warnings(settings: Settings) -> Iterator[str]:
    for first, second in settings.same_series_numbers():
        yield (
            f"{first} and {second} give their derived series the same Series Number, and a destination gets both: "
            "set another series_number_offset for one of them."
        )


def _result(look: Callable[[], str]) -> tuple[str, str]:
    try:
        return "ok", look()
    except (NodeError, S2LDMError) as error:
        return "WRONG", f"{error.sentence} {error.remedy}".strip()
    except OSError as error:
        return "WRONG", error.strerror or type(error).__name__


def _data_dir(settings: Settings, *, running: bool) -> str:
    folder = settings.node.data_dir
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise NodeError("data_dir_unusable", f"{there} is not a folder that can be written to.")
    if folder.exists():
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    problem = disk_problem(str(there), min_free_mib=settings.node.min_free_mib)
    if problem:
        raise NodeError("disk_full", f"{problem}.", "Free some, or set node.data_dir to another disk.")
    free_gib = shutil.disk_usage(there).free / 2**30
    return f"{folder}, {free_gib:.0f} GiB free" + (", a node is running in it" if running else "")


def _port(host: str, port: int, *, running: bool) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise NodeError("port", f"{host}:{port} cannot be listened on: {error.strerror}.") from error
            if running:
                return f"{host}:{port}, in use by the running node"
            raise NodeError(
                "port", f"{host}:{port} is in use by another program.", "Stop that one, or choose another port."
            ) from error
    return f"{host}:{port}, free"


def _model(model: str, *, routes: Sequence[Route]) -> str:
    from s2ldm_core.package import ModelPackage

    package = ModelPackage.load(model)
    known = package.metadata.offered
    if unknown := sorted({route.phase for route in routes if not package.metadata.offers(route.phase)}):
        raise NodeError(
            "phase_unknown",
            f"Routes ask {model} for the phase {', '.join(unknown)}; it knows {known}.",
            "Change the routes' phase or model.",
        )
    calibrated = package.metadata.calibration is not None
    if not calibrated and any(route.uncertainty for route in routes):
        raise NodeError(
            "uncertainty_unknown",
            f"Routes ask {model} for the uncertainty of its answers, which it does not know.",
            "Set the routes' uncertainty to false, or give them a model with a calibration.",
        )
    package.build(device="cpu")
    package.build_spread(device="cpu")
    also = "; knows its uncertainty" if calibrated else ""
    return f"{package.metadata.name} {package.metadata.version}, loads; phases: {known}{also}"
