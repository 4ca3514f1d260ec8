"""What the listener records of images."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

from sqlalchemy import Dialect, and_, bindparam, delete, insert, select, update
from sqlalchemy.engine.interfaces import DBAPICursor

from dicom_node.catalog.database import Database
from dicom_node.catalog.prepared import Prepared
from dicom_node.catalog.rows import NewInstance
from dicom_node.catalog.schema import conflicts, instances, series
from dicom_node.errors import CatalogError
from dicom_node.states import Outcome, SeriesState

_FIND = (
    select(series.c.id, instances.c.digest, instances.c.path, instances.c.size, series.c.conflict_count)
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
_RESTORE_INSTANCE = (
    update(instances)
    .where(instances.c.series_id == bindparam("b_series"), instances.c.sop_instance_uid == bindparam("b_sop"))
    .values(path=bindparam("path"), size=bindparam("size"), received_at=bindparam("at"))
)
_FORGET_CONFLICT = delete(conflicts).where(
    conflicts.c.series_id == bindparam("b_series"),
    conflicts.c.sop_instance_uid == bindparam("b_sop"),
    conflicts.c.digest == bindparam("b_digest"),
)
_CONFIRM = (
    update(conflicts)
    .where(conflicts.c.series_id == bindparam("b_series"), conflicts.c.sop_instance_uid == bindparam("b_sop"))
    .values(confirmed=bindparam("yes"))
)
# Reopened: late slices must be looked at again, and so must a series sent again after a change of model. If nothing has
# changed, completion finds the job that there is.
_TOUCH_SERIES = (
    update(series)
    .where(series.c.id == bindparam("key"))
    .values(
        instance_count=series.c.instance_count + bindparam("new"),
        conflict_count=series.c.conflict_count + bindparam("conflicts"),
        state=str(SeriesState.RECEIVING),
        last_received_at=bindparam("at"),
        association_id=bindparam("association"),
    )
)


#: Digest, path and size of an instance.
_Held = tuple[str | None, Path | None, int]

_NEW_SERIES = (
    "series_instance_uid",
    "study_instance_uid",
    "route",
    "state",
    "instance_count",
    "conflict_count",
    "first_received_at",
    "last_received_at",
    "calling_ae",
    "peer",
)
_NEW_INSTANCE = tuple(column.name for column in instances.c if not column.primary_key)


class _Statements:
    """What a listener executes for every image, or might."""

    def __init__(self, dialect: Dialect) -> None:
        self.find = Prepared(_FIND, dialect)
        self.add_series = Prepared(insert(series), dialect, columns=_NEW_SERIES)
        self.add_instances = Prepared(insert(instances), dialect, columns=_NEW_INSTANCE)
        self.restore_instance = Prepared(_RESTORE_INSTANCE, dialect)
        self.touch_series = Prepared(_TOUCH_SERIES, dialect)
        self.forget_conflict = Prepared(_FORGET_CONFLICT, dialect)
        self.add_conflict = Prepared(insert(conflicts), dialect, columns=[column.name for column in conflicts.c])
        self.confirm = Prepared(_CONFIRM, dialect)


class Intake(Database):
    """Received instances."""

    @cached_property
    def _statements(self) -> _Statements:
        return _Statements(self._engine.dialect)

    def add_instance(self, instance: NewInstance) -> Outcome:
        """Record one instance; see `add_instances`."""
        return self.add_instances([instance])[0]

    def add_instances(
        self, batch: Sequence[NewInstance], *, is_there: Callable[[Path, int], bool] = lambda path, size: True
    ) -> list[Outcome]:
        """Record many instances in one transaction, which is durable when the call returns.

        Whatever arrives reopens a complete series, so that late slices are looked at again.

        Parameters
        ----------
        is_there
            Whether a file holds a data set of so many bytes. Only then is an instance held, and its new copy not needed.

        Returns
        -------
        list of Outcome
            One per instance, in order.

        Raises
        ------
        CatalogError
            ``catalog_unusable`` if the database cannot be written; nothing is recorded then.
        """
        if not batch:
            return []
        try:
            return self._add(batch, is_there, alone=False)
        except CatalogError as error:
            if not self._kind.is_collision(error.__cause__):
                raise
        return self._add(batch, is_there, alone=True)  # another node had one of these series or instances, too

    def is_held_file(self, instance: NewInstance) -> bool:
        """Whether the row of an instance names this very file.

        Somebody who found it without a row may have written one a moment ago; then it is no second copy.
        """
        query = (
            select(instances.c.path)
            .join(series, series.c.id == instances.c.series_id)
            .where(
                series.c.series_instance_uid == instance.series_instance_uid,
                series.c.route == instance.route,
                instances.c.sop_instance_uid == instance.sop_instance_uid,
            )
        )
        with self.read() as connection:
            return connection.scalar(query) == instance.path

    def _add(
        self, batch: Sequence[NewInstance], is_there: Callable[[Path, int], bool], *, alone: bool
    ) -> list[Outcome]:
        statements = self._statements
        with self.write_bare(alone=alone) as cursor:
            keys: dict[tuple[str, str], tuple[int, bool]] = {}
            held: dict[tuple[int, str], _Held] = {}
            outcomes, rows, restored, refused, confirmed = [], [], [], [], []
            touched: dict[int, tuple[int, int, datetime, str | None]] = {}
            for instance in batch:
                at = instance.received_at or self.now()
                key, (digest, path, size), disputed = _find(statements, cursor, instance, at, keys=keys, held=held)
                if digest is None:
                    outcome = Outcome.NEW
                    rows.append(_instance_values(instance, key, at))
                elif digest != instance.digest:
                    outcome = Outcome.CONFLICT
                    refused.append({"b_series": key, "b_sop": instance.sop_instance_uid, "b_digest": instance.digest})
                elif path is None or not is_there(path, size):
                    # Retention has removed the file, or the disk has lost it: this copy takes its place.
                    outcome = Outcome.NEW
                    restored.append(
                        {
                            "b_series": key,
                            "b_sop": instance.sop_instance_uid,
                            "path": instance.path,
                            "size": instance.size,
                            "at": at,
                        }
                    )
                else:
                    outcome = Outcome.SAME
                if disputed and digest == instance.digest:
                    confirmed.append({"b_series": key, "b_sop": instance.sop_instance_uid, "yes": True})
                if outcome is Outcome.NEW:
                    held[key, instance.sop_instance_uid] = (instance.digest, instance.path, instance.size)
                new, conflicts, *_ = touched.get(key, (0, 0, at, None))
                counted = outcome is Outcome.NEW and digest is None
                conflicts += outcome is Outcome.CONFLICT
                touched[key] = (new + counted, conflicts, at, instance.association_id)
                outcomes.append(outcome)
            statements.add_instances.execute_many(cursor, rows)
            statements.restore_instance.execute_many(cursor, restored)
            statements.forget_conflict.execute_many(cursor, refused)
            statements.add_conflict.execute_many(cursor, [_conflict_values(one) for one in _distinct(refused)])
            statements.confirm.execute_many(cursor, confirmed)
            statements.touch_series.execute_many(
                cursor,
                [
                    {"key": key, "new": new, "conflicts": conflicts, "at": at, "association": association}
                    for key, (new, conflicts, at, association) in sorted(touched.items())  # two nodes in the same order
                ],
            )
        return outcomes


def _find(
    statements: _Statements,
    cursor: DBAPICursor,
    instance: NewInstance,
    at: datetime,
    *,
    keys: dict[tuple[str, str], tuple[int, bool]],
    held: dict[tuple[int, str], _Held],
) -> tuple[int, _Held, bool]:
    """The number of the instance's series, which is made if need be, and what is held of the instance itself.

    ``keys`` and ``held`` are what this batch has met already.

    Returns
    -------
    tuple
        Number; digest (None: the instance is new), path and size of what is held; and whether other content has come
        under a SOP Instance UID of the series before.
    """
    pair = (instance.series_instance_uid, instance.route)
    if pair in keys and (keys[pair][0], instance.sop_instance_uid) in held:
        key, disputed = keys[pair]
        return key, held[key, instance.sop_instance_uid], disputed
    wanted = {
        "series_instance_uid": instance.series_instance_uid,
        "called_ae": instance.route,
        "sop_instance_uid": instance.sop_instance_uid,
    }
    statements.find.execute(cursor, wanted)
    rows = cursor.fetchall()
    if not rows:
        statements.add_series.execute(cursor, _series_values(instance, at))
        statements.find.execute(cursor, wanted)
        rows = cursor.fetchall()
    ((key, digest, path, size, disputes),) = rows
    keys[pair] = key, bool(disputes)
    return key, (digest, None if path is None else Path(path), size or 0), bool(disputes)


def _distinct(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    return [dict(one) for one in {tuple(row.items()): None for row in rows}]


def _conflict_values(row: dict[str, object]) -> dict[str, object]:
    return {
        "series_id": row["b_series"],
        "sop_instance_uid": row["b_sop"],
        "digest": row["b_digest"],
        "fresh": True,
        "confirmed": False,
    }


def _series_values(instance: NewInstance, at: datetime) -> dict[str, object]:
    return {
        "series_instance_uid": instance.series_instance_uid,
        "study_instance_uid": instance.study_instance_uid,
        "route": instance.route,
        "state": str(SeriesState.RECEIVING),
        "instance_count": 0,
        "conflict_count": 0,
        "first_received_at": at,
        "last_received_at": at,
        "calling_ae": instance.calling_ae,
        "peer": instance.peer,
    }


def _instance_values(instance: NewInstance, key: int, at: datetime) -> dict[str, object]:
    return {
        "series_id": key,
        "sop_instance_uid": instance.sop_instance_uid,
        "sop_class_uid": instance.sop_class_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "path": instance.path,
        "digest": instance.digest,
        "size": instance.size,
        "received_at": at,
        "calling_ae": instance.calling_ae,
        "peer": instance.peer,
        "association_id": instance.association_id,
    }
