"""What destinations hold of a job that was done anew, and that it did not make again."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """What was made before it was done anew was not kept until now."""
    op.create_table(
        "replaced_images",
        sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("destination", sa.String(64), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("series_instance_uid", sa.String(64), nullable=False),
        sa.Column("derived_series_instance_uid", sa.String(64), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
    )
