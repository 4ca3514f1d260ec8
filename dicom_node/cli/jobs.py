"""``jobs``: list, show, retry, cancel, deliver again."""

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicom_node.cli.configuration import who
from dicom_node.cli.output import ConfigOption, JsonOption, plain_text, print_json, print_table, say, time_text
from dicom_node.config import load_settings
from dicom_node.errors import CatalogError, ConfigError
from dicom_node.states import JobState
from s2ldm_core.documents import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from dicom_node.catalog import Catalog, DeliveryRow, JobRow
    from s2ldm_core.problem import Problem

commands = typer.Typer(help="Jobs: one series on one route.", no_args_is_help=True)

_TURNED_AWAY_SHOWN = 5
_TURNED_AWAY_WITHIN = timedelta(days=1)
# In this order; what else there is stands in the JSON form.
_FIELDS = {
    "id": "job",
    "state": "state",
    "reason": "reason",
    "route": "called AE title",
    "phase": "phase",
    "model_identity": "model",
    "study_instance_uid": "study",
    "series_instance_uid": "source series",
    "derived_series_instance_uid": "derived series",
    "uncertainty_series_instance_uid": "its uncertainty",
    "superseded_by": "superseded by",
    "supersedes": "supersedes",
    "instance_count": "images",
    "completion_signal": "complete by",
    "attempts": "failed attempts",
    "not_before": "next attempt",
    "created_at": "created",
    "updated_at": "updated",
    "finished_at": "finished",
}

JobArgument = Annotated[int, typer.Argument(metavar="JOB", help="The job's number.")]


@commands.command("list", epilog="Example: s2ldm-node jobs list --state failed")
def list_jobs(
    config: ConfigOption = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most jobs to list, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first, each with its state and reason."""
    with open_catalog(config) as catalog:
        rows = catalog.list_jobs(state=state, limit=limit)
        receiving = catalog.count_receiving()
        since = catalog.now() - _TURNED_AWAY_WITHIN
        turned_away = [peer for peer in catalog.rejected_peers() if peer.last_seen_at > since][:_TURNED_AWAY_SHOWN]
    if as_json:
        print_json([_plain(row) for row in rows])
        return
    if rows:
        print_table(
            ("JOB", "ROUTE", "STATE", "IMAGES", "UPDATED", "SERIES", "REASON"),
            (
                (
                    row.id,
                    row.route,
                    _state(row),
                    row.instance_count,
                    time_text(row.updated_at),
                    row.series_instance_uid,
                    _remark(row),
                )
                for row in rows
            ),
        )
    else:
        say("There are no jobs." if state is None else f"No job is {state.value}.")
    if len(rows) == limit:
        say(f"Older jobs are shown with a --limit above {limit}.")
    if receiving:
        say(f"{receiving} series still being received: a job begins when nothing has come for a while.")
    for peer in turned_away:
        who = f"{peer.calling_ae} at {peer.peer} calling {peer.called_ae}" if peer.called_ae else peer.peer
        say(f"Turned away {peer.count} times, last {time_text(peer.last_seen_at)}: {who}. {_reason(peer.reason)}")


@commands.command("show", epilog="Example: s2ldm-node jobs show 12")
def show_job(job_id: JobArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show one job with its deliveries."""
    with open_catalog(config) as catalog:
        job = catalog.get_job(job_id)
        deliveries = catalog.list_deliveries(job_id=job_id, limit=1000)
    if as_json:
        print_json(_plain(job) | {"deliveries": [_plain(one) for one in deliveries]})
        return
    print_table(("", ""), _shown(job))
    if deliveries:
        print_table(
            ("DELIVERY", "DESTINATION", "STATE", "ACCEPTED", "REJECTION NOTES", "ATTEMPTS", "NEXT", "REASON"),
            (
                (
                    one.id,
                    one.destination,
                    one.state,
                    f"{one.accepted_count} of {one.instance_count}",
                    f"{one.accepted_note_count} of {one.note_count}" if one.note_count else "",
                    one.attempts,
                    time_text(one.not_before),
                    _reason(one.reason),
                )
                for one in deliveries
            ),
        )


@commands.command("retry", epilog="Example: s2ldm-node jobs retry 12")
def retry_job(
    job_id: JobArgument,
    config: ConfigOption = None,
    again: Annotated[bool, typer.Option("--again", help="Also a job that is done: do all of it anew.")] = False,
) -> None:
    """Put a failed, refused or cancelled job back to work where it stopped; deliver a waiting one now.

    The running node takes it up.
    """
    with open_catalog(config) as catalog:
        job = catalog.retry_job(job_id, again=again, who=who())
    say(f"job {job.id} is {job.state}")


@commands.command("cancel", epilog="Example: s2ldm-node jobs cancel 12")
def cancel_job(job_id: JobArgument, config: ConfigOption = None) -> None:
    """Stop a job that has not ended."""
    with open_catalog(config) as catalog:
        job = catalog.cancel_job(job_id, who=who())
    say(f"job {job.id} is {job.state}")


@commands.command("redeliver", epilog="Example: s2ldm-node jobs redeliver 12 13 --to archive")
def redeliver_jobs(
    job_ids: Annotated[list[int], typer.Argument(metavar="JOB...", help="The jobs' numbers.")],
    config: ConfigOption = None,
    to: Annotated[
        str | None, typer.Option("--to", help="A destination. Default: all that it went to.", show_default=False)
    ] = None,
) -> None:
    """Send the derived series of jobs again, also to a destination that they were not for."""
    destinations = load_settings(config).destinations
    if to is not None and to not in destinations:
        raise ConfigError(
            "destination_unknown",
            f"There is no destination {to!r}{nearest(to, destinations)}.",
            "s2ldm-node destinations list names those that there are.",
        )
    with open_catalog(config) as catalog:
        for job_id in job_ids:
            job = catalog.redeliver_job(job_id, destination=to, who=who())
            say(f"job {job.id} is {job.state}")


def open_catalog(config: "Path | None", *, make: bool = False) -> "Catalog":
    """The catalog of the node that runs with a configuration; raises `CatalogError` (``no_catalog``).

    ``make``: also where no node has run yet.
    """
    from dicom_node.catalog import Catalog

    location = load_settings(config).catalog_location
    if not make and not isinstance(location, str) and not location.is_file():
        raise CatalogError(
            "no_catalog",
            f"There is no catalog at {location}: no node has run with this configuration here.",
            "Name the running node's configuration with --config, and use the same working directory.",
        )
    return Catalog(location)


def _state(job: "JobRow") -> str:
    return job.state if job.progress is None else f"{job.state} ({job.stage} {job.progress:.0%})"


def _reason(reason: "Problem | None") -> str:
    return "" if reason is None else f"{reason.sentence} {reason.remedy}".strip()


def _remark(job: "JobRow") -> str:
    times = int(job.details.get("sent_again", 0))
    again = f"The same series was sent again{f' ({times} times)' if times > 1 else ''}." if times else ""
    # A job that was overtaken has it in its reason.
    replaced = f"Superseded by job {job.superseded_by}." if job.superseded_by and job.state == JobState.DONE else ""
    replaces = f"Supersedes job {', '.join(map(str, job.supersedes))}." if job.supersedes else ""
    return " ".join(filter(None, (_reason(job.reason), replaced, replaces, again)))


def _plain(row: "JobRow | DeliveryRow") -> dict[str, Any]:
    return dict(row) | {"reason": None if row.reason is None else asdict(row.reason)}


def _shown(job: "JobRow") -> list[tuple[str, object]]:
    fields = dict(job) | {"reason": _reason(job.reason), "state": _state(job)}
    fields["superseded_by"] = job.superseded_by and f"job {job.superseded_by}"
    fields["supersedes"] = f"job {', '.join(map(str, job.supersedes))}" if job.supersedes else ""
    fields |= {name: time_text(value) for name, value in fields.items() if name.endswith("_at") or name == "not_before"}
    shown = [(title, fields[name]) for name, title in _FIELDS.items() if fields[name] not in (None, "", 0)]
    details = {name: value for name, value in job.details.items() if value not in ({}, [])}
    return shown + [(name.replace("_", " "), plain_text(value)) for name, value in details.items()]
