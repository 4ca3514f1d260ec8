"""What destinations were asked to keep, and what they said (storage commitment, PS3.4 annex J)."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    """Nobody was asked before."""
    op.create_table(
        "commitments",
        sa.Column("transaction_uid", sa.String(64), primary_key=True),
        sa.Column("delivery_id", sa.Integer, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("asked_at", sa.DateTime, nullable=False),
        sa.Column("answer_by", sa.DateTime, nullable=False),
        sa.Column("answered_at", sa.DateTime),
        sa.Column("failed_count", sa.Integer, nullable=False),
        sa.Column("failure", sa.Integer),
        sa.Column("settled", sa.Boolean, nullable=False),
    )
    op.create_index("ix_commitments_delivery", "commitments", ["delivery_id", "ordinal"])
    op.create_table(
        "committed_instances",
        sa.Column("delivery_id", sa.Integer, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("committed_at", sa.DateTime, nullable=False),
    )
