"""Storage commitment (PS3.4 annex J): what destinations were asked to keep and what they said; what senders ask."""

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
    op.create_table(
        "commitment_requests",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        sa.Column("called_ae", sa.String(16), nullable=False),
        sa.Column("peer", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("received_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.Column("not_before", sa.DateTime),
        sa.Column("worker", sa.String(128)),
        sa.Column("claimed_until", sa.DateTime),
        sa.Column("reason_code", sa.String(64)),
        sa.Column("reason_sentence", sa.Text),
        sa.Column("reason_remedy", sa.Text),
    )
    for name, columns in {
        "state": ["state", "not_before"],
        "claimed_until": ["claimed_until"],
        "transaction": ["transaction_uid", "calling_ae"],
    }.items():
        op.create_index(f"ix_commitment_requests_{name}", "commitment_requests", columns)
    op.create_table(
        "commitment_request_instances",
        sa.Column(
            "request_id", sa.Integer, sa.ForeignKey("commitment_requests.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
    )
    op.create_index("ix_commitment_request_instances_sop", "commitment_request_instances", ["sop_instance_uid"])
    op.create_index("ix_instances_sop", "instances", ["sop_instance_uid"])
