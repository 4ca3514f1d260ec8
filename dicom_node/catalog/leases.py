"""Claims with an end: whoever works on a row renews its claim, and one sweep gives back what was not renewed.

There is no other recovery. A step whose node was killed, whose thread hangs or whose database could not be written loses
its claim by itself, and what it still wants to record then is not taken any more.
"""

import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.catalog.commitment_rows import CommitmentRequestRow
from dicom_node.catalog.commitment_schema import commitment_requests
from dicom_node.catalog.database import Database, reason_values, unclaimed
from dicom_node.catalog.rows import DeliveryRow, JobRow
from dicom_node.catalog.schema import associations, deliveries, jobs
from dicom_node.errors import CatalogError
from dicom_node.states import BACK_TO, CommitmentState, DeliveryState, JobState
from s2ldm_core.problem import Problem

#: What the node's own process does with a series (not the translation worker) may end the node so often.
MAX_INTERRUPTIONS = 3
_OWN_STATES = (JobState.SELECTING, JobState.DERIVING)
_CLAIMED_STATES = (JobState.SELECTING, JobState.TRANSLATING, JobState.DERIVING)
_INTERRUPTED = Problem(
    "interrupted_repeatedly",
    f"The node ended {MAX_INTERRUPTIONS} times while it worked on this series.",
    "Report this with the log; retry the job once the cause is known.",
)

#: Why a row is set aside whose values are none that the node knows.
UNREADABLE = Problem(
    "row_unreadable",
    "The catalog's entry holds values that the node does not know.",
    "Look for an error of the disk in the system's log; a backup of the catalog can be restored.",
)

Claim = JobRow | DeliveryRow | CommitmentRequestRow

#: What can be claimed and may wait for a time of its own.
_WORK = (jobs, deliveries, commitment_requests)


def new_claim(worker: str) -> str:
    """A value for ``worker`` that no other claim has."""
    return f"{worker[:80]}:{uuid4().hex}"


class Leases(Database):
    """Renewing claims, giving them back, and the sweep."""

    def renew(self, claim: Claim) -> bool:
        """Hold a claim for another lease; False if it is lost (run out and given back, or the work was cancelled)."""
        table = _table_of(claim)
        with self.write(alone=False) as connection:
            mine = update(table).where(table.c.id == claim.id, table.c.worker == claim.worker)
            return connection.execute(mine.values(claimed_until=self._lease())).rowcount > 0

    def hold(self, claim: Claim, *, patience_seconds: float) -> "Lease":
        """Keep a claim while a block works on it; see `Lease`."""
        return Lease(self, claim, patience_seconds=patience_seconds)

    def release(self, claim: Claim) -> None:
        """Give a claim back, for another step or the next start to take at once."""
        table, now = _table_of(claim), self.now()
        mine = update(table).where(table.c.id == claim.id, table.c.worker == claim.worker)
        values: dict[str, Any] = {"updated_at": now, **unclaimed()}
        if isinstance(claim, DeliveryRow):
            values["state"] = DeliveryState.PENDING
        elif isinstance(claim, CommitmentRequestRow):
            values["state"] = CommitmentState.WAITING
        else:
            values |= {"state": BACK_TO[claim.state], "stage": None, "progress": None}
        with self.write(alone=False) as connection:
            connection.execute(mine.values(**values))

    def renew_associations(self, prefix: str) -> None:
        """Keep the open associations whose identifiers begin so, which are those of one listener process."""
        mine = (associations.c.closed_at.is_(None), associations.c.id.startswith(prefix, autoescape=True))
        with self.read() as connection:  # most often there is none, and the writers need not be held up
            if connection.scalar(select(associations.c.id).where(*mine).limit(1)) is None:
                return
        with self.write(alone=False) as connection:
            connection.execute(update(associations).where(*mine).values(claimed_until=self._lease()))

    def sweep_leases(self) -> int:
        """Give back every claim that has run out; returns the number of jobs and deliveries that go on.

        ``translating`` becomes ``queued``, ``deriving`` becomes ``translated``, ``sending`` becomes ``pending``, ``telling``
        becomes ``waiting``;
        associations are lost, so that their series can complete. A job that was being selected or derived, which the
        node does in its own process, counts an attempt: after `MAX_INTERRUPTIONS` it fails, because it may be what
        brings the node down.

        A step of the clock is no lapse of time: whatever is claimed then holds for another lease.
        """
        step = self._clock_steps.since_last_look()
        now = self.now()
        self._follow_clock(step)
        with self.read() as connection:  # most sweeps find nothing, and need not hold up the writers
            if not any(_any_run_out(connection, table, now) for table in (*_WORK, associations)):
                return 0
        with self.write() as connection:
            run_out = jobs.c.claimed_until <= now
            own = run_out & jobs.c.state.in_(_OWN_STATES)
            connection.execute(update(jobs).where(own).values(attempts=jobs.c.attempts + 1))
            connection.execute(
                update(jobs)
                .where(own, jobs.c.attempts >= MAX_INTERRUPTIONS)
                .values(
                    state=JobState.FAILED,
                    failed_in=jobs.c.state,
                    updated_at=now,
                    finished_at=now,
                    **unclaimed(),
                    **reason_values(_INTERRUPTED),
                )
            )
            count = 0
            for state in _CLAIMED_STATES:
                count += connection.execute(
                    update(jobs)
                    .where(run_out, jobs.c.state == state)
                    .values(state=BACK_TO[state], stage=None, progress=None, updated_at=now, **unclaimed())
                ).rowcount
            count += connection.execute(
                update(deliveries)
                .where(deliveries.c.claimed_until <= now, deliveries.c.state == DeliveryState.SENDING)
                .values(state=DeliveryState.PENDING, updated_at=now, **unclaimed())
            ).rowcount
            connection.execute(
                update(commitment_requests)
                .where(
                    commitment_requests.c.claimed_until <= now,
                    commitment_requests.c.state == CommitmentState.TELLING,
                )
                .values(state=CommitmentState.WAITING, updated_at=now, **unclaimed())
            )
            connection.execute(
                update(associations)
                .where(associations.c.claimed_until <= now, associations.c.closed_at.is_(None))
                .values(closed_at=now, claimed_until=None, outcome="lost")
            )
            return count

    def _follow_clock(self, step: timedelta) -> None:
        """Give every claim a new lease and move what waits for its time, after the clock was stepped.

        Nobody can have claimed for longer than a lease: what reaches further was claimed before the clock was set back,
        if not in this run, then in the last.
        """
        until, tables = self._lease(), (*_WORK, associations)
        if not step:
            with self.read() as connection:
                beyond = (
                    select(table.c.claimed_until).where(table.c.claimed_until > until).limit(1) for table in tables
                )
                if not any(connection.execute(one).first() for one in beyond):
                    return
        with self.write() as connection:
            for table in tables:
                lapsing = table.c.claimed_until.is_not(None) if step else table.c.claimed_until > until
                connection.execute(update(table).where(lapsing).values(claimed_until=until))
            for table in _WORK if step else ():
                waiting = connection.execute(
                    select(table.c.id, table.c.not_before).where(table.c.not_before.is_not(None))
                )
                for key, not_before in waiting.all():
                    connection.execute(update(table).where(table.c.id == key).values(not_before=not_before + step))


class Lease:
    """A claim kept by a thread of its own while a block works on it.

    The thread renews three times a lease, as long as the block has given a sign of life within ``patience_seconds``:
    one that hangs loses its claim although its process lives on. What the block could not record when it ended (the
    disk is full) is given back by the sweep, too.

    >>> with catalog.hold(job, patience_seconds=600.0) as lease:
    ...     work(on_progress=lease.beat, should_stop=lambda: lease.lost)
    """

    def __init__(self, catalog: Leases, claim: Claim, *, patience_seconds: float) -> None:
        self._catalog, self._claim, self._patience_seconds = catalog, claim, patience_seconds
        self._beat_at = self._catalog.monotonic()
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease-{claim.id}", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether somebody else may have the claim by now; the block should end."""
        return self._lost.is_set()

    @property
    def silent(self) -> bool:
        """Whether the block has given no sign of life for longer than it may."""
        return self._catalog.monotonic() - self._beat_at > self._patience_seconds

    def beat(self) -> None:
        """A sign of life."""
        self._beat_at = self._catalog.monotonic()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._ended.wait(self._catalog.lease_seconds / 3):
            if self.silent:
                self._lost.set()
                return
            with suppress(CatalogError, SQLAlchemyError):  # cannot be written at present; the lease may run out
                if not self._catalog.renew(self._claim):
                    self._lost.set()
                    return


def _table_of(claim: Claim) -> Table:
    if isinstance(claim, CommitmentRequestRow):
        return commitment_requests
    return deliveries if isinstance(claim, DeliveryRow) else jobs


def _any_run_out(connection: Connection, table: Table, now: Any) -> bool:
    return connection.execute(table.select().where(table.c.claimed_until <= now).limit(1)).first() is not None
