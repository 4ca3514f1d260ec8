"""Whose a series is, and every attempt of a delivery."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Series that were selected before have no subject: they are found by their UIDs, as until now."""
    op.create_table(
        "subjects",
        sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("patient_id", sa.String(64), nullable=False),
        sa.Column("patient_name", sa.String(324), nullable=False),
        sa.Column("accession_number", sa.String(64), nullable=False),
        sa.Column("study_date", sa.String(16), nullable=False),
        sa.Column("study_description", sa.String(64), nullable=False),
        sa.Column("series_description", sa.String(64), nullable=False),
        sa.Column("sought", sa.Text, nullable=False),
    )
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", sa.Integer, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("ended_at", sa.DateTime, nullable=False),
        sa.Column("accepted_count", sa.Integer, nullable=False),
        sa.Column("reason_code", sa.String(64)),
        sa.Column("reason_sentence", sa.Text),
        sa.Column("reason_remedy", sa.Text),
    )
    op.create_index("ix_deliveries_destination", "deliveries", ["destination", "state"])
