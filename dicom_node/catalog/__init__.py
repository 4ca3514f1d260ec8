"""The catalog: everything the node must remember, and the only place with SQL.

Each step of a series' way takes its work from here and leaves its result here, so that a restart at any point
continues where the last committed transaction stands.
"""

from dicom_node.catalog.attempt_table import AttemptRow, InstanceAnswer
from dicom_node.catalog.catalog import Catalog
from dicom_node.catalog.commitment_rows import CommitmentRequestRow, HeldInstance
from dicom_node.catalog.derived_rows import DerivedInstance, EarlierSeries, HeldDerived, ImageReference
from dicom_node.catalog.evidence_table import Evidence
from dicom_node.catalog.leases import Lease
from dicom_node.catalog.people_rows import TokenRow, UserRow
from dicom_node.catalog.rows import (
    AssociationRow,
    DeliveryInstanceRow,
    DeliveryRow,
    InstanceRow,
    JobRow,
    NewInstance,
    QuarantineRow,
    RejectedPeerRow,
    SeriesRow,
)
from dicom_node.catalog.subject_table import Subject
from dicom_node.states import CommitmentState, DeliveryState, JobState, Outcome, SeriesState, Verdict

__all__ = [
    "AssociationRow",
    "AttemptRow",
    "Catalog",
    "CommitmentRequestRow",
    "CommitmentState",
    "DeliveryInstanceRow",
    "DeliveryRow",
    "DeliveryState",
    "DerivedInstance",
    "EarlierSeries",
    "Evidence",
    "HeldDerived",
    "HeldInstance",
    "ImageReference",
    "InstanceAnswer",
    "InstanceRow",
    "JobRow",
    "JobState",
    "Lease",
    "NewInstance",
    "Outcome",
    "QuarantineRow",
    "RejectedPeerRow",
    "SeriesRow",
    "SeriesState",
    "Subject",
    "TokenRow",
    "UserRow",
    "Verdict",
]
