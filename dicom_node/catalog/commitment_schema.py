"""The catalog's tables of storage commitment (PS3.4 annex J): what destinations are asked to keep."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table

from dicom_node.catalog.schema import UTCDateTime, metadata

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
