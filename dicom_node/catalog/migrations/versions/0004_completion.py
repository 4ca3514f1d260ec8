"""What was known when a series was complete (``completion_evidence``), and who sent last (``association_id``)."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """The association that sent last is that of the instance recorded last."""
    op.add_column("series", sa.Column("completion_evidence", sa.Text))
    op.add_column("series", sa.Column("association_id", sa.String(64)))
    op.create_index("ix_series_study", "series", ["study_instance_uid"])
    op.drop_index("ix_instances_association", "instances")
    op.create_index("ix_instances_association", "instances", ["association_id", "series_id"])

    series = sa.table("series", sa.column("id"), sa.column("association_id"))
    instances = sa.table("instances", sa.column("id"), sa.column("series_id"), sa.column("association_id"))
    last = (
        sa.select(instances.c.association_id)
        .where(instances.c.series_id == series.c.id)
        .order_by(instances.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    op.execute(series.update().values(association_id=last))
