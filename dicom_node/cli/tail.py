"""``tail``: what the node does, as it does it."""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicom_node.cli.jobs import open_catalog
from dicom_node.cli.output import ConfigOption, JsonOption, say, time_text

if TYPE_CHECKING:
    from dicom_node.catalog import Catalog

_LOOK = 200
"""Newest rows of each kind that are watched."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: s2ldm-node tail")(tail)


def tail(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Look again after so many seconds.")] = 1.0,
    looks: Annotated[int | None, typer.Option(min=1, help="End after so many looks. Default: with Ctrl-C.")] = None,
) -> None:
    """Follow series, jobs and deliveries: a line whenever one changes its state; with --json an object a line."""
    known: dict[tuple[str, int], object] = {}
    done = 0
    with open_catalog(config) as catalog:
        while looks is None or done < looks:
            for change in changes(catalog, known, told=done > 0):
                say(json.dumps(change) if as_json else _line(change))
            done += 1
            if looks is None or done < looks:
                try:
                    time.sleep(seconds)
                except KeyboardInterrupt:
                    return


def changes(catalog: "Catalog", known: dict[tuple[str, int], object], *, told: bool) -> Iterator[dict[str, Any]]:
    """What has changed since ``known``, which is brought up to date; nothing unless ``told``."""
    for change in sorted(_present(catalog), key=lambda one: str(one["at"])):
        key, value = (change["what"], change["number"]), (change["state"], change.get("stage"), change.get("images"))
        if known.get(key) != value:
            known[key] = value
            if told:
                yield change


def _present(catalog: "Catalog") -> Iterator[dict[str, Any]]:
    for series in catalog.find_series(limit=_LOOK):
        yield {
            "at": series.last_received_at.isoformat(),
            "what": "series",
            "number": series.key,
            "route": series.route,
            "state": series.state.value,
            "images": series.instance_count,
            "from": series.calling_ae,
        }
    for job in catalog.list_jobs(limit=_LOOK):
        yield {
            "at": job.updated_at.isoformat(),
            "what": "job",
            "number": job.id,
            "route": job.route,
            "state": job.state.value,
            **({"stage": job.stage} if job.stage else {}),
            **({"reason": job.reason.code, "sentence": job.reason.sentence} if job.reason else {}),
        }
    for delivery in catalog.list_deliveries(limit=_LOOK):
        yield {
            "at": delivery.updated_at.isoformat(),
            "what": "delivery",
            "number": delivery.id,
            "route": delivery.route,
            "state": delivery.state.value,
            "job": delivery.job_id,
            "to": delivery.destination,
            **({"reason": delivery.reason.code, "sentence": delivery.reason.sentence} if delivery.reason else {}),
        }


def _line(change: dict[str, Any]) -> str:
    from datetime import datetime

    more = {
        "series": lambda: f"{change['images']} images from {change['from']}",
        "job": lambda: change.get("stage", ""),
        "delivery": lambda: f"of job {change['job']} to {change['to']}",
    }[change["what"]]()
    when = time_text(datetime.fromisoformat(change["at"]))
    head = f"{when}  {change['route']:<16}  {change['what']} {change['number']} {change['state']}"
    return "  ".join(filter(None, (head, more, change.get("sentence", ""))))
