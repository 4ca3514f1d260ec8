"""Letting an object out of quarantine: taken in as if it had come just now, and back again where it still cannot go on."""

from pathlib import Path

from dicom_node.catalog import Catalog, Outcome, QuarantineRow
from dicom_node.config import Settings
from dicom_node.errors import ReceiveError
from dicom_node.receive.recovery import read_received
from dicom_node.receive.spool import Spool, holds

_REMEDY = "Send the object again, or leave it: it is removed after retention.quarantine_days."


def release(row: QuarantineRow, *, settings: Settings, catalog: Catalog) -> Outcome:
    """Take the object of ``row`` in; its row is gone then. What it became: a new instance, or one that is held already.

    Raises
    ------
    ReceiveError
        ``quarantined_gone`` when its file is not there any more, ``still_unreadable``, ``still_in_conflict`` when another
        object is held under its SOP Instance UID; it lies where it lay.
    """
    if row.path is None or not row.path.is_file():
        raise ReceiveError("quarantined_gone", f"The file of object {row.id} is not there any more.", "Send it again.")
    try:
        read_received(row.path)
    except (ReceiveError, OSError, EOFError, ValueError, AttributeError) as error:
        why = error.sentence if isinstance(error, ReceiveError) else "Its file cannot be read back."
        raise ReceiveError("still_unreadable", f"Object {row.id} still cannot go on: {why}", _REMEDY) from error
    spool = Spool(settings.node.data_dir, min_free_bytes=0)
    try:
        spool.prepare()
        # First the file, then the row: killed in between, the node finds a received file without one, and records it.
        path = spool.take_back(row.path)
        outcome = _recorded(path, row, catalog)
        if outcome is Outcome.CONFLICT:
            spool.quarantine(path)
            raise ReceiveError(
                "still_in_conflict",
                f"Object {row.id} still cannot go on: another object is held under its SOP Instance UID.",
                "Send the whole series again: what comes then is one series, and settles which is right.",
            )
        if outcome is Outcome.SAME:
            path.unlink(missing_ok=True)
        catalog.forget_quarantined(row.id)
        return outcome
    finally:
        spool.close()


def _recorded(path: Path, row: QuarantineRow, catalog: Catalog) -> Outcome:
    instance = read_received(path, route=row.route, calling_ae=row.calling_ae, peer=row.peer)
    (outcome,) = catalog.add_instances([instance], is_there=holds)
    return outcome
