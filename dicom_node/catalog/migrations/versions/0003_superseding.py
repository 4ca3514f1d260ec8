"""Which job stands in another's place, and the notes that reject the derived series of the other."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add both; no job of an earlier version is known to be superseded after it was delivered."""
    op.add_column("jobs", sa.Column("superseded_by", sa.Integer))
    op.add_column("derived_instances", sa.Column("rejects_job", sa.Integer))
