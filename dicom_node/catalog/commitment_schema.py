"""The catalog's tables of storage commitment (PS3.4 annex J): what destinations are asked to keep, and what senders ask."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from dicom_node.catalog.column_types import UTCDateTime
from dicom_node.catalog.schema import metadata

# Requests of the node to a destination.
commitments = Table(
    "commitments",
    metadata,
    Column("transaction_uid", String(64), primary_key=True),
    Column("delivery_id", ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("asked_at", UTCDateTime, nullable=False),
    Column("answer_by", UTCDateTime, nullable=False),
    Column("answered_at", UTCDateTime),
    # How many instances the answer says are not kept, and the Failure Reason (0008,1197) of the first.
    Column("failed_count", Integer, nullable=False, default=0),
    Column("failure", Integer),
    # True: the delivery has taken it up, be it that no answer came in time.
    Column("settled", Boolean, nullable=False, default=False),
    Index("ix_commitments_delivery", "delivery_id", "ordinal"),
)

# What the destination of a delivery has said that it keeps, whichever request the answer was to.
committed_instances = Table(
    "committed_instances",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("committed_at", UTCDateTime, nullable=False),
)

# Requests of senders to the node, which it answers on an association of its own or on theirs.
commitment_requests = Table(
    "commitment_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_uid", String(64), nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("called_ae", String(16), nullable=False),
    Column("peer", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("received_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("not_before", UTCDateTime),
    Column("worker", String(128)),
    Column("claimed_until", UTCDateTime),
    Column("reason_code", String(64)),
    Column("reason_sentence", Text),
    Column("reason_remedy", Text),
    Index("ix_commitment_requests_state", "state", "not_before"),
    Index("ix_commitment_requests_claimed_until", "claimed_until"),
    Index("ix_commitment_requests_transaction", "transaction_uid", "calling_ae"),
)

commitment_request_instances = Table(
    "commitment_request_instances",
    metadata,
    Column("request_id", ForeignKey("commitment_requests.id", ondelete="CASCADE"), primary_key=True),
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("sop_class_uid", String(64), nullable=False),
    Index("ix_commitment_request_instances_sop", "sop_instance_uid"),
)
