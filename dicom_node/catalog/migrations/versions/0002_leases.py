"""Claims end by themselves (``claimed_until``), and deliveries keep what a destination's answer means (``verdict``)."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

#: C-STORE statuses that the first version took for stored (PS3.4 B.2.3, PS3.7 C.5).
_ACCEPTED = (0x0000, 0x0111, 0xB000, 0xB006, 0xB007)


def upgrade() -> None:
    """Whatever the first version held when it ended is given back by the first sweep."""
    run_out = datetime.now(UTC).replace(tzinfo=None)
    for name in ("jobs", "deliveries", "associations"):
        op.add_column(name, sa.Column("claimed_until", sa.DateTime))
        op.create_index(f"ix_{name}_claimed_until", name, ["claimed_until"])
    claims = {"jobs": _claimed_jobs, "deliveries": _claimed_deliveries, "associations": _open_associations}
    for name, claimed in claims.items():
        names = ("claimed_until", "state", "worker", "closed_at")
        table = sa.table(name, *(sa.column(one) for one in names))
        op.execute(table.update().where(claimed(table.c)).values(claimed_until=sa.literal(run_out, sa.DateTime)))

    op.add_column("delivery_instances", sa.Column("verdict", sa.String(16)))
    answers = sa.table("delivery_instances", sa.column("verdict"), sa.column("status"))
    op.execute(answers.update().where(answers.c.status.in_(_ACCEPTED)).values(verdict="accepted"))
    op.execute("DROP TABLE IF EXISTS schema_version")


def _claimed_jobs(columns: Any) -> Any:
    return columns.state.in_(("selecting", "translating", "deriving")) & columns.worker.is_not(None)


def _claimed_deliveries(columns: Any) -> Any:
    return columns.state == "sending"


def _open_associations(columns: Any) -> Any:
    return columns.closed_at.is_(None)
