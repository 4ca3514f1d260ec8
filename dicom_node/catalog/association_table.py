"""Associations: which are open, and how the others ended."""

from sqlalchemy import insert, select, update

from dicom_node.catalog.database import Database
from dicom_node.catalog.rows import AssociationRow
from dicom_node.catalog.schema import associations


class AssociationTable(Database):
    """The catalog's associations."""

    def open_association(self, association_id: str, *, called_ae: str, calling_ae: str, peer: str) -> None:
        """Record that a peer is connected; its series stay incomplete until it is gone (PS3.8 7.1).

        The record holds for a lease unless `renew_associations` says again that the peer is there."""
        with self.write(alone=False) as connection:
            connection.execute(
                insert(associations).values(
                    id=association_id,
                    called_ae=called_ae,
                    calling_ae=calling_ae,
                    peer=peer,
                    opened_at=self.now(),
                    claimed_until=self._lease(),
                )
            )

    def close_association(self, association_id: str, *, outcome: str) -> None:
        """Record that an association ended. ``outcome``: ``released``, ``aborted`` or ``lost``."""
        with self.write(alone=False) as connection:
            connection.execute(
                update(associations)
                .where(associations.c.id == association_id, associations.c.closed_at.is_(None))
                .values(closed_at=self.now(), claimed_until=None, outcome=outcome)
            )

    def open_associations(self) -> list[AssociationRow]:
        """The associations open now."""
        with self.read() as connection:
            rows = connection.execute(select(associations).where(associations.c.closed_at.is_(None))).mappings()
            return [AssociationRow.model_validate(row) for row in rows]
