"""The tables of the first version, which wrote them without Alembic."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

revision = "0001"
down_revision = None

_UID = String(64)
_AE = String(16)
# Images are counted beyond 2³¹ on a database of several nodes.
_MANY = Integer().with_variant(BigInteger, "postgresql")

metadata = MetaData()

associations = Table(
    "associations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("called_ae", _AE, nullable=False),
    Column("calling_ae", _AE, nullable=False),
    Column("peer", String(64), nullable=False),
    Column("opened_at", DateTime, nullable=False),
    Column("closed_at", DateTime),
    Column("outcome", String(16)),
    Index("ix_associations_closed_at", "closed_at"),
)

series = Table(
    "series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_instance_uid", _UID, nullable=False),
    Column("study_instance_uid", _UID, nullable=False),
    Column("route", _AE, nullable=False),
    Column("state", String(16), nullable=False),
    Column("instance_count", Integer, nullable=False, default=0),
    Column("conflict_count", Integer, nullable=False, default=0),
    Column("first_received_at", DateTime, nullable=False),
    Column("last_received_at", DateTime, nullable=False),
    Column("completed_at", DateTime),
    Column("completion_signal", String(32)),
    Column("content_digest", String(64)),
    Column("calling_ae", _AE, nullable=False),
    Column("peer", String(64), nullable=False),
    Column("reason_code", String(64)),
    Column("reason_sentence", Text),
    Column("reason_remedy", Text),
    UniqueConstraint("series_instance_uid", "route", name="uq_series_uid_route"),
    Index("ix_series_state", "state", "last_received_at"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", _MANY, primary_key=True),
    Column("series_id", ForeignKey("series.id", ondelete="CASCADE"), nullable=False),
    Column("sop_instance_uid", _UID, nullable=False),
    Column("sop_class_uid", _UID, nullable=False),
    Column("transfer_syntax_uid", _UID, nullable=False),
    Column("path", Text),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("received_at", DateTime, nullable=False),
    Column("calling_ae", _AE, nullable=False),
    Column("peer", String(64), nullable=False),
    Column("association_id", String(64)),
    UniqueConstraint("series_id", "sop_instance_uid", name="uq_instances_series_sop"),
    Index("ix_instances_association", "association_id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_id", ForeignKey("series.id", ondelete="CASCADE")),
    Column("route", _AE, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("model", Text, nullable=False),
    Column("model_identity", String(256), nullable=False),
    Column("content_digest", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("completion_signal", String(32)),
    Column("instance_count", Integer, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("not_before", DateTime),
    Column("worker", String(128)),
    Column("stage", String(32)),
    Column("progress", Float),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    Column("started_at", DateTime),
    Column("finished_at", DateTime),
    Column("reason_code", String(64)),
    Column("reason_sentence", Text),
    Column("reason_remedy", Text),
    Column("failed_in", String(16)),
    Column("result_path", Text),
    Column("derived_series_instance_uid", _UID),
    Column("details", Text, nullable=False, default="{}"),
    # The same content on the same route with the same model is the same job, whoever sends it again.
    UniqueConstraint("series_id", "content_digest", "model_identity", name="uq_jobs_identity"),
    Index("ix_jobs_state", "state", "id"),
)

job_instances = Table(
    "job_instances",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("instance_id", ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True),
    # True: an object of the series that is no slice of the volume (a localizer, a dose report).
    Column("set_aside", Boolean, nullable=False, default=False),
    Index("ix_job_instances_instance", "instance_id"),
)

derived_instances = Table(
    "derived_instances",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("sop_class_uid", _UID, nullable=False),
    Column("path", Text),
    Column("ordinal", Integer, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("not_before", DateTime),
    Column("worker", String(128)),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
    Column("reason_code", String(64)),
    Column("reason_sentence", Text),
    Column("reason_remedy", Text),
    UniqueConstraint("job_id", "destination", name="uq_deliveries_job_destination"),
    Index("ix_deliveries_state", "state", "not_before"),
)

delivery_instances = Table(
    "delivery_instances",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("status", Integer),
    Column("comment", String(256), nullable=False, default=""),
    Column("updated_at", DateTime),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("series_id", ForeignKey("series.id", ondelete="CASCADE")),
    Column("route", _AE, nullable=False),
    Column("calling_ae", _AE, nullable=False),
    Column("peer", String(64), nullable=False),
    Column("association_id", String(64)),
    Column("sop_instance_uid", _UID, nullable=False),
    Column("path", Text),
    Column("size", BigInteger, nullable=False),
    Column("received_at", DateTime, nullable=False),
    Column("reason_code", String(64), nullable=False),
    Column("reason_sentence", Text, nullable=False),
    Column("reason_remedy", Text, nullable=False, default=""),
    Index("ix_quarantine_association", "association_id"),
)

rejected_peers = Table(
    "rejected_peers",
    metadata,
    Column("calling_ae", _AE, primary_key=True),
    Column("called_ae", _AE, primary_key=True),
    Column("peer", String(64), primary_key=True),
    Column("reason_code", String(64), primary_key=True),
    Column("reason_sentence", Text, nullable=False),
    Column("reason_remedy", Text, nullable=False, default=""),
    Column("count", Integer, nullable=False),
    Column("first_seen_at", DateTime, nullable=False),
    Column("last_seen_at", DateTime, nullable=False),
)


def upgrade() -> None:
    """Make them."""
    metadata.create_all(op.get_bind())
