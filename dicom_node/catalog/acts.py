"""What people did with a job, kept with the job."""

from datetime import datetime

from sqlalchemy import Connection, select, update

from dicom_node.catalog.schema import jobs

#: Beyond this many the oldest is forgotten.
_MOST = 50


def note_act(
    connection: Connection, job_id: int, *, did: str, who: str | None, at: datetime, to: str | None = None
) -> None:
    """Add to ``details.by_hand`` who did what; nothing where nobody is named. ``to``: the destination, of one alone."""
    if who is None:
        return
    details = connection.scalar(select(jobs.c.details).where(jobs.c.id == job_id)) or {}
    act = {"at": at.isoformat(timespec="seconds"), "did": did, "who": who} | ({} if to is None else {"to": to})
    kept = [*details.get("by_hand", ()), act][-_MOST:]
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(details={**details, "by_hand": kept}))
