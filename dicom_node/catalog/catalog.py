"""The catalog, put together from its tables."""

from dicom_node.catalog.activity import Activity
from dicom_node.catalog.association_table import AssociationTable
from dicom_node.catalog.attempt_table import AttemptTable
from dicom_node.catalog.audit_events import AuditEvents
from dicom_node.catalog.commitment_requests import CommitmentRequests
from dicom_node.catalog.commitment_table import CommitmentTable
from dicom_node.catalog.delivery_table import DeliveryTable
from dicom_node.catalog.derived_table import DerivedTable
from dicom_node.catalog.due_table import DueTable
from dicom_node.catalog.evidence_table import EvidenceTable
from dicom_node.catalog.failures import Failures
from dicom_node.catalog.intake import Intake
from dicom_node.catalog.job_control import JobControl
from dicom_node.catalog.quarantine import Quarantine
from dicom_node.catalog.redelivery import Redelivery
from dicom_node.catalog.retention import Retention
from dicom_node.catalog.series_search import SeriesSearch
from dicom_node.catalog.series_table import SeriesTable
from dicom_node.catalog.subject_table import SubjectTable
from dicom_node.catalog.superseding import Superseding
from dicom_node.catalog.token_table import TokenTable
from dicom_node.catalog.user_table import UserTable


class Catalog(
    AssociationTable,
    Intake,
    Quarantine,
    EvidenceTable,
    SeriesTable,
    SeriesSearch,
    SubjectTable,
    JobControl,
    Redelivery,
    DerivedTable,
    Superseding,
    DeliveryTable,
    AttemptTable,
    CommitmentTable,
    CommitmentRequests,
    DueTable,
    Activity,
    Failures,
    AuditEvents,
    Retention,
    UserTable,
    TokenTable,
):
    """Everything the node must remember, in one database.

    >>> with Catalog(data_dir / "catalog.sqlite") as catalog:
    ...     catalog.sweep_leases()
    """
