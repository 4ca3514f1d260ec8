"""A job may have a second derived series, its uncertainty: which series an instance is in, and what the second is called."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Images of before are all in their job's derived series; in which series its notes are, nobody asks."""
    op.add_column("jobs", sa.Column("uncertainty_series_instance_uid", sa.String(64)))
    op.add_column("derived_instances", sa.Column("series_instance_uid", sa.String(64)))
    names = ("job_id", "rejects_job", "series_instance_uid")
    derived = sa.table("derived_instances", *(sa.column(name) for name in names))
    jobs = sa.table("jobs", sa.column("id"), sa.column("derived_series_instance_uid"))
    its_job = sa.select(jobs.c.derived_series_instance_uid).where(jobs.c.id == derived.c.job_id).scalar_subquery()
    op.execute(sa.update(derived).where(derived.c.rejects_job.is_(None)).values(series_instance_uid=its_job))
