"""A job's phase is part of what it is: the same series in another phase is another job."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """SQLite changes no constraint of a table: the table is made anew, which `Database` has readied the connection for."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_constraint("uq_jobs_identity", type_="unique")
        jobs.create_unique_constraint("uq_jobs_identity", ["series_id", "content_digest", "model_identity", "phase"])
