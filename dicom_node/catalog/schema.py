"""The catalog's tables as they are now; `dicom_node.catalog.migrations` makes them out of those of earlier versions."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
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

from dicom_node.catalog.column_types import JSONText, PathText, UTCDateTime

# UIDs have at most 64 characters and AE titles at most 16 (PS3.5 6.2).
_UID = String(64)
_AE = String(16)
# Images are counted beyond 2³¹ on a database of several nodes.
_MANY = Integer().with_variant(BigInteger, "postgresql")

metadata = MetaData()


def _reason(*, nullable: bool = True) -> tuple[Column[Any], ...]:
    """Why a row stands where it stands (`s2ldm_core.problem.Problem`)."""
    return (
        Column("reason_code", String(64), nullable=nullable),
        Column("reason_sentence", Text, nullable=nullable),
        Column("reason_remedy", Text, nullable=nullable),
    )


def _claim() -> tuple[Column[Any], ...]:
    """Who works on a row, and until when unless they say again that they do."""
    return (Column("worker", String(128)), Column("claimed_until", UTCDateTime))


associations = Table(
    "associations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("called_ae", _AE, nullable=False),
    Column("calling_ae", _AE, nullable=False),
    Column("peer", String(64), nullable=False),
    Column("opened_at", UTCDateTime, nullable=False),
    Column("claimed_until", UTCDateTime),
    Column("closed_at", UTCDateTime),
    Column("outcome", String(16)),
    Index("ix_associations_closed_at", "closed_at"),
    Index("ix_associations_claimed_until", "claimed_until"),
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
    Column("first_received_at", UTCDateTime, nullable=False),
    Column("last_received_at", UTCDateTime, nullable=False),
    Column("completed_at", UTCDateTime),
    Column("completion_signal", String(32)),
    # What was known when that signal decided (`dicom_node.catalog.Evidence`).
    Column("completion_evidence", JSONText),
    Column("content_digest", String(64)),
    Column("calling_ae", _AE, nullable=False),
    Column("peer", String(64), nullable=False),
    # The association that sent last, be it an instance that was held already.
    Column("association_id", String(64)),
    *_reason(),
    UniqueConstraint("series_instance_uid", "route", name="uq_series_uid_route"),
    Index("ix_series_state", "state", "last_received_at"),
    Index("ix_series_study", "study_instance_uid"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", _MANY, primary_key=True),
    Column("series_id", ForeignKey("series.id", ondelete="CASCADE"), nullable=False),
    Column("sop_instance_uid", _UID, nullable=False),
    Column("sop_class_uid", _UID, nullable=False),
    Column("transfer_syntax_uid", _UID, nullable=False),
    Column("path", PathText),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("received_at", UTCDateTime, nullable=False),
    Column("calling_ae", _AE, nullable=False),
    Column("peer", String(64), nullable=False),
    Column("association_id", String(64)),
    UniqueConstraint("series_id", "sop_instance_uid", name="uq_instances_series_sop"),
    Index("ix_instances_association", "association_id", "series_id"),
    # Storage commitment asks for instances by this alone.
    Index("ix_instances_sop", "sop_instance_uid"),
)

# Other content that came under a SOP Instance UID of the series, and was not taken.
conflicts = Table(
    "conflicts",
    metadata,
    Column("series_id", ForeignKey("series.id", ondelete="CASCADE"), primary_key=True),
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("digest", String(64), primary_key=True),
    # Since the series was last complete: whether it came, and whether the content that is held came again.
    Column("fresh", Boolean, nullable=False),
    Column("confirmed", Boolean, nullable=False),
)

# Whose a series is, apart from everything else: of all tables this one has patient data, and only while the files are there.
subjects = Table(
    "subjects",
    metadata,
    Column("series_id", ForeignKey("series.id", ondelete="CASCADE"), primary_key=True),
    Column("patient_id", String(64), nullable=False),
    Column("patient_name", String(324), nullable=False),
    Column("accession_number", String(64), nullable=False),
    Column("study_date", String(16), nullable=False),
    Column("study_description", String(64), nullable=False),
    Column("series_description", String(64), nullable=False),
    # Name, ID and accession number in folded case, which SQLite knows for ASCII alone.
    Column("sought", Text, nullable=False),
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
    Column("not_before", UTCDateTime),
    *_claim(),
    Column("stage", String(32)),
    Column("progress", Float),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("started_at", UTCDateTime),
    Column("finished_at", UTCDateTime),
    *_reason(),
    Column("failed_in", String(16)),
    Column("result_path", PathText),
    Column("derived_series_instance_uid", _UID),
    # Of the derived series that holds the uncertainty of that one, where the route asked for it.
    Column("uncertainty_series_instance_uid", _UID),
    # The job of the same series and phase on the same route that stands in this one's place.
    Column("superseded_by", Integer),
    Column("details", JSONText, nullable=False, default=dict),
    # What every rule of selection saw, and the route as it was when the job began.
    Column("rules", JSONText),
    Column("route_settings", JSONText),
    # The same content on the same route in the same phase with the same model is the same job, whoever sends it again.
    UniqueConstraint("series_id", "content_digest", "model_identity", "phase", name="uq_jobs_identity"),
    Index("ix_jobs_state", "state", "id"),
    Index("ix_jobs_claimed_until", "claimed_until"),
    Index("ix_jobs_superseded_by", "superseded_by"),
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
    Column("path", PathText),
    Column("ordinal", Integer, nullable=False),
    # Null for notes that were written before it was kept.
    Column("series_instance_uid", _UID),
    # Of a rejection note: the job whose derived series it rejects; of an image null.
    Column("rejects_job", Integer),
)

# Images of what a job made before it was done anew, which it did not make again: those that a destination has taken.
replaced_images = Table(
    "replaced_images",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("destination", String(64), primary_key=True),
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("sop_class_uid", _UID, nullable=False),
    Column("series_instance_uid", _UID, nullable=False),
    # The derived series that they were made with: their own, or that whose uncertainty they tell.
    Column("derived_series_instance_uid", _UID, nullable=False),
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
    Column("not_before", UTCDateTime),
    *_claim(),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("finished_at", UTCDateTime),
    *_reason(),
    UniqueConstraint("job_id", "destination", name="uq_deliveries_job_destination"),
    Index("ix_deliveries_state", "state", "not_before"),
    # What the metrics and the page of destinations count, without looking at a row.
    Index("ix_deliveries_destination", "destination", "state"),
    Index("ix_deliveries_claimed_until", "claimed_until"),
)

delivery_instances = Table(
    "delivery_instances",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("verdict", String(16)),
    Column("status", Integer),
    Column("comment", String(256), nullable=False, default=""),
    Column("updated_at", UTCDateTime),
)

# Every try of a delivery that has ended.
delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("ended_at", UTCDateTime, nullable=False),
    Column("accepted_count", Integer, nullable=False),
    *_reason(),
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
    Column("path", PathText),
    Column("size", BigInteger, nullable=False),
    Column("received_at", UTCDateTime, nullable=False),
    *_reason(nullable=False),
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
    Column("first_seen_at", UTCDateTime, nullable=False),
    Column("last_seen_at", UTCDateTime, nullable=False),
)
