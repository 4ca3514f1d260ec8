"""``series``: what was received, and what became of it."""

from datetime import datetime
from typing import Annotated, Any

import typer

from dicom_node.cli.jobs import open_catalog
from dicom_node.cli.output import ConfigOption, JsonOption, plain_text, print_json, print_table, say, time_text
from dicom_node.states import JobState, SeriesState

commands = typer.Typer(help="Series: what was received, each on one route.", no_args_is_help=True)


@commands.command("list", epilog="Example: s2ldm-node series list --query 1.2.840 --job-state failed")
def list_series(
    config: ConfigOption = None,
    query: Annotated[
        str | None,
        typer.Option(help="A part of a UID, patient's name or ID, accession number, or sender's AE title."),
    ] = None,
    route: Annotated[str | None, typer.Option(help="Only of this called AE title.", show_default=False)] = None,
    state: Annotated[SeriesState | None, typer.Option(help="Only in this state.", show_default=False)] = None,
    job_state: Annotated[
        JobState | None, typer.Option(help="Only with a job in this state.", show_default=False)
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Received since (UTC).", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most series to list, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List series, newest first."""
    from datetime import UTC

    with open_catalog(config) as catalog:
        rows = catalog.find_series(
            query=query,
            by_patient=True,
            route=route,
            state=state,
            job_state=job_state,
            since=None if since is None else since.replace(tzinfo=UTC),
            limit=limit,
        )
        jobs = catalog.jobs_of_series([row.key for row in rows])
    if as_json:
        print_json([row.model_dump(mode="json", by_alias=True) for row in rows])
    elif rows:
        print_table(
            ("SERIES", "ROUTE", "STATE", "IMAGES", "RECEIVED", "JOBS", "UID"),
            (
                (
                    row.key,
                    row.route,
                    row.state,
                    row.instance_count,
                    time_text(row.last_received_at),
                    ", ".join(f"{job.id} {job.state}" for job in jobs[row.key]),
                    row.series_instance_uid,
                )
                for row in rows
            ),
        )
        if len(rows) == limit:
            say(f"Older series are shown with a --limit above {limit}.")
    else:
        say("No such series was received.")


@commands.command("show", epilog="Example: s2ldm-node series show 12")
def show_series(
    key: Annotated[int, typer.Argument(metavar="SERIES", help="The series' number, from series list.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the whole story of a series: how it came, what its jobs did, where the results went."""
    from dicom_node.web.timeline import story_of

    with open_catalog(config) as catalog:
        row = catalog.get_series(key)
        subject = catalog.subjects_of([key]).get(key)
        events = story_of(catalog, key)
    if as_json:
        print_json(
            {
                "series": row.model_dump(mode="json", by_alias=True),
                "patient": None if subject is None else subject.model_dump(),
                "events": [e.model_dump(mode="json") for e in events],
            }
        )
        return
    say(f"series {row.series_instance_uid} of study {row.study_instance_uid}, on {row.route}: {row.state}")
    if subject is not None:
        say(f"patient {plain_text(', '.join(filter(None, dict(subject).values())))}")
    print_table(("WHEN", "WHAT", ""), ((time_text(event.at), event.title, _facts(event)) for event in events))


@commands.command("requeue", epilog="Example: s2ldm-node series requeue 12 --on CECT_VEN")
def requeue_series(
    key: Annotated[int, typer.Argument(metavar="SERIES", help="The series' number, from series list.")],
    on: Annotated[str, typer.Option("--on", metavar="ROUTE", help="The called AE title.")],
    config: ConfigOption = None,
) -> None:
    """Take a series in on another route, too, as if it had been sent there. The running node takes it up."""
    from dicom_node.config import load_settings
    from dicom_node.receive.requeue import requeue

    with open_catalog(config) as catalog:
        taken_in = requeue(key, route=on, settings=load_settings(config), catalog=catalog)
    say(f"{taken_in} images taken in on {on}" if taken_in else f"{on} has every image of series {key} already")


def _facts(event: Any) -> str:
    known = "; ".join(f"{name.replace('_', ' ')}: {plain_text(value)}" for name, value in event.facts.items())
    if event.problem is None:
        return known
    return " ".join(filter(None, (known, event.problem.sentence, event.problem.remedy)))
