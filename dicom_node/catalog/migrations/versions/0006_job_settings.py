"""What a job keeps: the route as it was when the job began, and what every rule of selection saw."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"


def upgrade() -> None:
    """Jobs that began earlier go on with the configuration's present route."""
    op.add_column("jobs", sa.Column("rules", sa.Text))
    op.add_column("jobs", sa.Column("route_settings", sa.Text))
    op.create_index("ix_jobs_superseded_by", "jobs", ["superseded_by"])
