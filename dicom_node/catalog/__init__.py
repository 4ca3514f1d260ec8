"""The catalog: everything the node must remember, and the only place with SQL.

Each step of a series' way takes its work from here and leaves its result here, so that a restart at any point
continues where the last committed transaction stands.
"""

from dicom_node.catalog.catalog import Catalog
from dicom_node.catalog.rows import (
    ACCEPTED_STATUSES,
    AssociationRow,
    DeliveryInstanceRow,
    DeliveryRow,
    DeliveryState,
    DerivedInstance,
    InstanceRow,
    JobRow,
    JobState,
    NewInstance,
    Outcome,
    QuarantineRow,
    Reason,
    RejectedPeerRow,
    SeriesRow,
    SeriesState,
    is_accepted,
)

__all__ = [
    "ACCEPTED_STATUSES",
    "AssociationRow",
    "Catalog",
    "DeliveryInstanceRow",
    "DeliveryRow",
    "DeliveryState",
    "DerivedInstance",
    "InstanceRow",
    "JobRow",
    "JobState",
    "NewInstance",
    "Outcome",
    "QuarantineRow",
    "Reason",
    "RejectedPeerRow",
    "SeriesRow",
    "SeriesState",
    "is_accepted",
]
