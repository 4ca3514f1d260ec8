"""Users and tokens for commands: what they change is in the audit trail, and not in their output."""

from typing import TYPE_CHECKING

from dicom_node.config import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from dicom_node.catalog import Catalog
    from dicom_node.people.accounts import Accounts


def accounts_of(catalog: "Catalog", config: "Path | None") -> "Accounts":
    """The accounts of an open catalog."""
    from dicom_node.audit.trail import AuditTrail
    from dicom_node.people.accounts import Accounts

    node = load_settings(config).node
    trail = AuditTrail(node.data_dir / "audit", node=node.ae_title)
    return Accounts(catalog, audited=False, tell=trail.note)
