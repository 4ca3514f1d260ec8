"""What a second sending of a series changes: which job stands in another's place, and which conflicts are left."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add both. Of conflicts before, what was quarantined stands for the content, whose digest is not known."""
    op.add_column("jobs", sa.Column("superseded_by", sa.Integer))
    op.add_column("derived_instances", sa.Column("rejects_job", sa.Integer))
    conflicts = op.create_table(
        "conflicts",
        sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("fresh", sa.Boolean, nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
    )
    names = ("id", "series_id", "sop_instance_uid")
    quarantine = sa.table("quarantine", *(sa.column(name) for name in names))
    content = sa.literal("quarantine ") + sa.cast(quarantine.c.id, sa.String)
    found = sa.select(quarantine.c.series_id, quarantine.c.sop_instance_uid, content, sa.false(), sa.false())
    op.execute(
        conflicts.insert().from_select(
            [column.name for column in conflicts.c], found.where(quarantine.c.series_id.is_not(None))
        )
    )
