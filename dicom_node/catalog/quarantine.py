"""What the listener turned away: objects in quarantine, and peers that are not served."""

from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select, update

from dicom_node.catalog.database import Database, insert_row, reason_values
from dicom_node.catalog.rows import QuarantineRow, RejectedPeerRow
from dicom_node.catalog.schema import jobs, quarantine, rejected_peers, series
from dicom_node.errors import CatalogError
from dicom_node.states import JobState
from s2ldm_core.problem import Problem

#: Unknown peers cannot fill the disk: beyond this many, the peer seen longest ago is forgotten.
MAX_REJECTED_PEERS = 1000


class Quarantine(Database):
    """Objects and peers that cannot go on, kept visible with their reasons."""

    def quarantine_object(
        self,
        *,
        route: str,
        calling_ae: str,
        peer: str,
        association_id: str | None,
        sop_instance_uid: str,
        path: Path | None,
        size: int,
        reason: Problem,
        series_instance_uid: str | None = None,
        phase: str = "",
        model: str = "",
    ) -> int:
        """Record a received object that cannot go on, so that the administrator sees it and nothing is lost.

        With ``series_instance_uid`` (a conflict) the object is listed with its series. Without (unreadable) one refused
        job stands for all such objects of the same association and reason, so that ``jobs list`` shows it.

        Returns
        -------
        int
            The quarantine row's number.
        """
        with self.write() as connection:
            key = job_id = None
            if series_instance_uid is not None:
                key = connection.scalar(
                    select(series.c.id).where(
                        series.c.series_instance_uid == series_instance_uid, series.c.route == route
                    )
                )
            if key is None:
                job_id = self._unreadable_job(connection, route, phase, model, association_id, reason)
            return insert_row(
                connection,
                quarantine,
                job_id=job_id,
                series_id=key,
                route=route,
                calling_ae=calling_ae,
                peer=peer,
                association_id=association_id,
                sop_instance_uid=sop_instance_uid[:64],
                path=path,
                size=size,
                received_at=self.now(),
                **reason_values(reason),
            )

    def list_quarantine(self, *, limit: int = 100, offset: int = 0) -> list[QuarantineRow]:
        """Objects in quarantine, newest first."""
        with self.read() as connection:
            rows = connection.execute(
                select(quarantine).order_by(quarantine.c.id.desc()).limit(limit).offset(offset)
            ).mappings()
            return [QuarantineRow.model_validate(row) for row in rows]

    def get_quarantined(self, key: int) -> QuarantineRow:
        """One object in quarantine; raises `CatalogError` (``quarantined_unknown``)."""
        with self.read() as connection:
            row = connection.execute(select(quarantine).where(quarantine.c.id == key)).mappings().first()
        if row is None:
            raise CatalogError("quarantined_unknown", f"There is no object {key} in quarantine.", "List them first.")
        return QuarantineRow.model_validate(row)

    def forget_quarantined(self, key: int) -> None:
        """Drop the row of an object that was taken in after all."""
        with self.write() as connection:
            connection.execute(delete(quarantine).where(quarantine.c.id == key))

    def note_rejected_peer(self, *, calling_ae: str, called_ae: str, peer: str, reason: Problem) -> None:
        """Count a peer that was turned away: AE-title mistakes become visible."""
        now = self.now()
        calling_ae, called_ae, peer = calling_ae[:16], called_ae[:16], peer[:64]
        table = rejected_peers.c
        same = (
            table.calling_ae == calling_ae,
            table.called_ae == called_ae,
            table.peer == peer,
            table.reason_code == reason.code,
        )
        with self.write() as connection:
            seen = connection.execute(
                update(rejected_peers)
                .where(*same)
                .values(count=table.count + 1, last_seen_at=now, **reason_values(reason))
            )
            if seen.rowcount:
                return
            connection.execute(
                insert(rejected_peers).values(
                    calling_ae=calling_ae,
                    called_ae=called_ae,
                    peer=peer,
                    count=1,
                    first_seen_at=now,
                    last_seen_at=now,
                    **reason_values(reason),
                )
            )
            if (connection.scalar(select(func.count()).select_from(rejected_peers)) or 0) > MAX_REJECTED_PEERS:
                oldest = connection.scalar(select(func.min(table.last_seen_at)))
                connection.execute(delete(rejected_peers).where(table.last_seen_at == oldest))

    def rejected_peers(self) -> list[RejectedPeerRow]:
        """Peers that were turned away, last seen first."""
        with self.read() as connection:
            rows = connection.execute(select(rejected_peers).order_by(rejected_peers.c.last_seen_at.desc())).mappings()
            return [RejectedPeerRow.model_validate(row) for row in rows]

    def _unreadable_job(
        self, connection: Connection, route: str, phase: str, model: str, association_id: str | None, reason: Problem
    ) -> int:
        now = self.now()
        if association_id is not None:
            job_id = connection.scalar(
                select(quarantine.c.job_id)
                .where(
                    quarantine.c.association_id == association_id,
                    quarantine.c.route == route,
                    quarantine.c.reason_code == reason.code,
                    quarantine.c.job_id.is_not(None),
                )
                .limit(1)
            )
            if job_id is not None:
                connection.execute(
                    update(jobs)
                    .where(jobs.c.id == job_id)
                    .values(instance_count=jobs.c.instance_count + 1, updated_at=now)
                )
                return int(job_id)
        return insert_row(
            connection,
            jobs,
            route=route,
            phase=phase,
            model=model,
            model_identity="",
            content_digest="",
            state=JobState.REFUSED,
            instance_count=1,
            attempts=0,
            created_at=now,
            updated_at=now,
            finished_at=now,
            **reason_values(reason),
        )
