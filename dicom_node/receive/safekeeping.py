"""Whether what a sender asks about is safe here: its bytes on disk, as they came, and its row in the catalog."""

from collections.abc import Sequence

from dicom_node.catalog import Catalog, HeldInstance
from dicom_node.commitment import CLASS_CONFLICT, NO_SUCH_INSTANCE, CommitmentReport
from dicom_node.receive.spool import holds


def report_on(catalog: Catalog, transaction_uid: str, wanted: Sequence[tuple[str, str]]) -> CommitmentReport:
    """What is held of ``wanted``, SOP Class and SOP Instance UIDs.

    A C-STORE is answered only when bytes and row are forced to disk, so whatever is there is there for good, until retention
    removes it. What is not is said with Failure Reason 0x0112, what is under another SOP class with 0x0119.
    """
    found = catalog.held_instances([uid for _, uid in wanted])
    committed: dict[str, str] = {}
    failed: dict[str, tuple[str, int]] = {}
    for sop_class, uid in wanted:
        there = [one for one in found.get(uid, ()) if _is_there(one)]
        if not there:
            failed[uid] = (sop_class, NO_SUCH_INSTANCE)
        elif all(one.sop_class_uid != sop_class for one in there):
            failed[uid] = (sop_class, CLASS_CONFLICT)
        else:
            committed[uid] = sop_class
    return CommitmentReport(transaction_uid=transaction_uid, committed=committed, failed=failed)


def _is_there(held: HeldInstance) -> bool:
    return held.path is not None and holds(held.path, held.size)
