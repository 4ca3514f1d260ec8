"""What waits to be worked on, and since when: work that nobody takes is seen by its age."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select

from dicom_node.catalog.commitment_schema import commitment_requests
from dicom_node.catalog.database import Database
from dicom_node.catalog.pending import may_be_sent
from dicom_node.catalog.schema import deliveries, jobs, series
from dicom_node.states import CommitmentState, JobState, SeriesState

#: The step that takes a job in each of these states.
_STEPS = {"select": JobState.SELECTING, "translate": JobState.QUEUED, "derive": JobState.TRANSLATED}


class DueTable(Database):
    """The oldest of what is due."""

    def oldest_due(self, *, exclude_destinations: Collection[str] = ()) -> dict[str, datetime]:
        """Since when the oldest piece of work has been waiting, by step: ``completion``, ``select``, ``translate``, …

        A series waits for completion since its last instance. What waits for a time of its own, or for a destination of
        ``exclude_destinations``, is not due; a step without work is not named.
        """
        now = self.now()
        queries = {
            "completion": select(func.min(series.c.last_received_at)).where(series.c.state == SeriesState.RECEIVING),
            "deliver": select(_waits_since(deliveries.c.updated_at, deliveries.c.not_before))
            .join(jobs, jobs.c.id == deliveries.c.job_id)
            .where(may_be_sent(now, but=exclude_destinations)),
            "commit": select(_waits_since(commitment_requests.c.updated_at, commitment_requests.c.not_before)).where(
                commitment_requests.c.state == CommitmentState.WAITING,
                or_(commitment_requests.c.not_before.is_(None), commitment_requests.c.not_before <= now),
            ),
        }
        for step, state in _STEPS.items():
            queries[step] = select(_waits_since(jobs.c.updated_at, jobs.c.not_before)).where(
                jobs.c.state == state,
                jobs.c.claimed_until.is_(None),
                or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now),
            )
        with self.read() as connection:
            oldest = {step: connection.scalar(query) for step, query in queries.items()}
        return {step: since for step, since in oldest.items() if since is not None}


def _waits_since(updated_at: ColumnElement[datetime], not_before: ColumnElement[datetime]) -> ColumnElement[datetime]:
    return func.min(func.coalesce(not_before, updated_at))
