"""The node of the demo: the real one with its embedded defaults, in this process, watched over HTTP."""

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

from rich.progress import Progress, TaskID

from dicom_node.config import Settings, default_config_path, parse_settings
from dicom_node.deliver.destinations import Answer
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.deliver.destinations.dicom.scu import send_files
from dicom_node.demo.destination import StorageDestination
from dicom_node.demo.source import DemoSource
from dicom_node.errors import NodeError
from s2ldm_core.documents import read_document
from s2ldm_core.package import ModelPackage

_TIMEOUT_SECONDS = 1800.0
_READY_SECONDS = 300.0
_ENDED_BADLY = frozenset({"refused", "failed", "cancelled"})
_STATES = ("receiving", "selecting", "queued", "translating", "translated", "deriving", "delivering", "done")


class DemoError(NodeError):
    """The demo did not come to its end."""


def demo_settings(data_dir: Path, *, destination: StorageDestination, model: str | None) -> Settings:
    """The embedded defaults, on free ports, with the demo's destination and a short quiet time.

    Raises
    ------
    PackageError
        A route's model package is missing or damaged; nothing has been started then.
    """
    document = read_document(default_config_path()).values or {}
    node, web = document.setdefault("node", {}), document.setdefault("web", {})
    node |= {
        "host": "127.0.0.1",
        "port": _free_port(),
        "data_dir": str(data_dir),
        "min_free_mib": 256,
        "database": None,
    }
    web |= {"host": "127.0.0.1", "port": _free_port()}
    document["series"] = {**(document.get("series") or {}), "quiet_seconds": 1.0}
    document["destinations"] = {
        "pacs": {"ae_title": destination.ae_title, "host": "127.0.0.1", "port": destination.port}
    }
    settings = parse_settings(document, source="demo")
    if model is not None:
        routes = {name: route.model_copy(update={"model": model}) for name, route in settings.routes.items()}
        settings = settings.model_copy(update={"routes": routes})
    for route in settings.routes.values():
        ModelPackage.load(route.model)
    return settings


@contextmanager
def running_node(settings: Settings, *, log: Path, progress: Progress) -> Iterator[None]:
    """A node in this process, ready for work; its log goes to a file."""
    from dicom_node.service.node import Node
    from dicom_node.service.observe import configure_logging

    task = progress.add_task("node", total=1, state="starting")
    with log.open("w", encoding="utf-8") as stream, _restored_logging():
        configure_logging(settings.log, stream=stream)
        with Node(settings):
            deadline = time.monotonic() + _READY_SECONDS
            progress.update(task, state="loading models")
            while not _ready(settings):
                if time.monotonic() > deadline:
                    raise DemoError("demo_not_ready", "The node did not become ready.", f"See {log}.")
                time.sleep(0.2)
            progress.update(task, completed=1, state=f"DICOM port {settings.node.port}, HTTP port {settings.web.port}")
            yield


@contextmanager
def _restored_logging() -> Iterator[None]:
    """Put the root logger back as it was: the log file closes before the program ends."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def send_source(source: DemoSource, settings: Settings, progress: Progress) -> None:
    """C-STORE the source to every route, as a PACS would."""
    for title in settings.routes:
        task = progress.add_task(f"C-STORE to {title}", total=len(source.paths), state="sending")
        listener = DicomSettings(ae_title=title, host="127.0.0.1", port=settings.node.port)
        answers = send_files(source.paths, listener, calling_ae="DEMO", on_answer=_advancing(progress, task))
        stored = sum(answer.verdict == "accepted" for answer in answers)
        progress.update(task, state=f"{stored} stored")
        if stored != len(source.paths):
            raise DemoError(
                "demo_send_failed", f"The node took {stored} of {len(source.paths)} slices.", "See node.log."
            )


def wait_for_jobs(settings: Settings, *, progress: Progress) -> str:
    """Follow the jobs over HTTP until all are done; returns what the models call themselves."""
    tasks = {title: progress.add_task(title, total=len(_STATES) - 1, state="receiving") for title in settings.routes}
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        jobs = {job["route"]: job for job in _get(settings, "/api/jobs")["items"]}
        for title, job in jobs.items():
            state = str(job["state"])
            share = float(job.get("progress") or 0.0) if state == "translating" else 0.0
            stage = f": {job['stage']}" if job.get("stage") else ""
            place = _STATES.index(state) if state in _STATES else 0
            progress.update(tasks[title], completed=place + share, state=f"{state}{stage}")
            if state in _ENDED_BADLY:
                reason = job.get("reason") or {}
                raise DemoError(
                    str(reason.get("code", f"job_{state}")),
                    f"The node answered on {title}: {reason.get('sentence', state)}",
                    str(reason.get("remedy", "")),
                )
        if len(jobs) == len(tasks) and all(job["state"] == "done" for job in jobs.values()):
            return ", ".join(sorted({_model_name(job) for job in jobs.values()}))
        time.sleep(0.3)
    raise DemoError("demo_timeout", f"The jobs were not done after {_TIMEOUT_SECONDS:.0f} seconds.", "See node.log.")


def _model_name(job: dict[str, Any]) -> str:
    return f"{Path(str(job['model'])).name} {(job.get('details') or {}).get('model_version', '')}".strip()


def _advancing(progress: Progress, task: TaskID) -> Callable[[Answer], None]:
    def advance(_: Answer) -> None:
        progress.advance(task)

    return advance


def _ready(settings: Settings) -> bool:
    try:
        with urlopen(_url(settings, "/readyz"), timeout=5) as answer:  # noqa: S310 (http to 127.0.0.1)
            return bool(answer.status == 200)
    except OSError:  # refused, or 503 while models load
        return False


def _get(settings: Settings, path: str) -> dict[str, Any]:
    with urlopen(_url(settings, path), timeout=30) as answer:  # noqa: S310 (http to 127.0.0.1)
        return cast(dict[str, Any], json.load(answer))


def _url(settings: Settings, path: str) -> str:
    return f"http://127.0.0.1:{settings.web.port}{path}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
