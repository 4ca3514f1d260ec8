"""What the listener records: associations and instances."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, insert, select, update

from dicom_node.catalog.database import Database, insert_row
from dicom_node.catalog.rows import (
    AssociationRow,
    NewInstance,
    Outcome,
    SeriesState,
)
from dicom_node.catalog.schema import associations, instances, series

# Built once: for a statement with bound parameters SQLAlchemy spends a third of the time that it spends on one that is
# put together anew, and a listener executes these for every image.
_FIND = (
    select(series.c.id, instances.c.digest, instances.c.path.is_not(None))
    .select_from(
        series.outerjoin(
            instances,
            and_(instances.c.series_id == series.c.id, instances.c.sop_instance_uid == bindparam("sop_instance_uid")),
        )
    )
    .where(
        series.c.series_instance_uid == bindparam("series_instance_uid"),
        series.c.route == bindparam("called_ae"),
    )
)
_ADD_INSTANCES = insert(instances)
_RESTORE_INSTANCE = (
    update(instances)
    .where(instances.c.series_id == bindparam("b_series"), instances.c.sop_instance_uid == bindparam("b_sop"))
    .values(path=bindparam("path"), received_at=bindparam("at"))
)
# Reopened: late slices must be looked at again, and so must a series sent again after a change of model. If nothing has
# changed, completion finds the job that there is.
_TOUCH_SERIES = (
    update(series)
    .where(series.c.id == bindparam("key"))
    .values(
        instance_count=series.c.instance_count + bindparam("new"),
        conflict_count=series.c.conflict_count + bindparam("conflicts"),
        state=SeriesState.RECEIVING,
        last_received_at=bindparam("at"),
    )
)


class Intake(Database):
    """Associations and their instances."""

    def open_association(self, association_id: str, *, called_ae: str, calling_ae: str, peer: str) -> None:
        """Record that a peer is connected; its series stay incomplete until it is gone (PS3.8 7.1)."""
        with self.write() as connection:
            connection.execute(
                insert(associations).values(
                    id=association_id, called_ae=called_ae, calling_ae=calling_ae, peer=peer, opened_at=self.now()
                )
            )

    def close_association(self, association_id: str, *, outcome: str) -> None:
        """Record that an association ended. ``outcome``: ``released``, ``aborted`` or ``lost``."""
        with self.write() as connection:
            connection.execute(
                update(associations)
                .where(associations.c.id == association_id, associations.c.closed_at.is_(None))
                .values(closed_at=self.now(), outcome=outcome)
            )

    def open_associations(self) -> list[AssociationRow]:
        """The associations open now."""
        with self.read() as connection:
            rows = connection.execute(select(associations).where(associations.c.closed_at.is_(None))).mappings()
            return [AssociationRow(**row) for row in rows]

    def add_instance(self, instance: NewInstance) -> Outcome:
        """Record one instance; see `add_instances`."""
        return self.add_instances([instance])[0]

    def add_instances(self, batch: Sequence[NewInstance]) -> list[Outcome]:
        """Record many instances in one transaction, which is durable when the call returns.

        Whatever arrives reopens a complete series, so that late slices are looked at again.

        Returns
        -------
        list of Outcome
            One per instance, in order.
        """
        if not batch:
            return []
        with self.write() as connection:
            keys: dict[tuple[str, str], int] = {}
            held: dict[tuple[int, str], tuple[str | None, bool]] = {}
            outcomes, rows, restored = [], [], []
            touched: dict[int, tuple[int, int, datetime]] = {}
            for instance in batch:
                at = instance.received_at or self.now()
                key, digest, present = _find(connection, instance, at, keys=keys, held=held)
                if digest is None:
                    outcome = Outcome.NEW
                    rows.append(_instance_values(instance, key, at))
                elif digest != instance.digest:
                    outcome = Outcome.CONFLICT
                elif not present:  # retention has removed the file: take it back
                    outcome = Outcome.NEW
                    restored.append(
                        {"b_series": key, "b_sop": instance.sop_instance_uid, "path": str(instance.path), "at": at}
                    )
                else:
                    outcome = Outcome.SAME
                if outcome is Outcome.NEW:
                    held[key, instance.sop_instance_uid] = (instance.digest, True)
                new, conflicts, _ = touched.get(key, (0, 0, at))
                counted = outcome is Outcome.NEW and digest is None
                touched[key] = (new + counted, conflicts + (outcome is Outcome.CONFLICT), at)
                outcomes.append(outcome)
            if rows:
                connection.execute(_ADD_INSTANCES, rows)
            if restored:
                connection.execute(_RESTORE_INSTANCE, restored)
            connection.execute(
                _TOUCH_SERIES,
                [
                    {"key": key, "new": new, "conflicts": conflicts, "at": at}
                    for key, (new, conflicts, at) in touched.items()
                ],
            )
        return outcomes


def _find(
    connection: Connection,
    instance: NewInstance,
    at: datetime,
    *,
    keys: dict[tuple[str, str], int],
    held: dict[tuple[int, str], tuple[str | None, bool]],
) -> tuple[int, str | None, bool]:
    """The number of the instance's series, which is made if need be, and what is held of the instance itself.

    ``keys`` and ``held`` are what this batch has met already.

    Returns
    -------
    tuple
        Number, digest (None: the instance is new) and whether its file is there.
    """
    pair = (instance.series_instance_uid, instance.route)
    key = keys.get(pair)
    if key is not None and (key, instance.sop_instance_uid) in held:
        return (key, *held[key, instance.sop_instance_uid])
    row = connection.execute(
        _FIND,
        {
            "series_instance_uid": instance.series_instance_uid,
            "called_ae": instance.route,
            "sop_instance_uid": instance.sop_instance_uid,
        },
    ).first()
    if row is not None:
        keys[pair] = row[0]
        return row[0], row[1], bool(row[2])
    keys[pair] = insert_row(
        connection,
        series,
        series_instance_uid=instance.series_instance_uid,
        study_instance_uid=instance.study_instance_uid,
        route=instance.route,
        state=SeriesState.RECEIVING,
        instance_count=0,
        conflict_count=0,
        first_received_at=at,
        last_received_at=at,
        calling_ae=instance.calling_ae,
        peer=instance.peer,
    )
    return keys[pair], None, False


def _instance_values(instance: NewInstance, key: int, at: datetime) -> dict[str, object]:
    return {
        "series_id": key,
        "sop_instance_uid": instance.sop_instance_uid,
        "sop_class_uid": instance.sop_class_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "path": str(instance.path),
        "digest": instance.digest,
        "size": instance.size,
        "received_at": at,
        "calling_ae": instance.calling_ae,
        "peer": instance.peer,
        "association_id": instance.association_id,
    }
