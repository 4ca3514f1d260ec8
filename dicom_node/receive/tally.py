"""Counting the sub-operations of a retrieval, and what its responses say of them (PS3.4 C.4.2.1, C.4.3.1)."""

from collections.abc import Iterable

from pydicom import Dataset

from dicom_node.commitment import encoded
from dicom_node.streaming import Progress, status

#: C-STORE: the peer has the object, but not quite as it was (PS3.4 table B.2-1, PS3.7 annex C): coercion and discarded
#: elements are 0xBxxx, attribute list error, value out of range, and that it had the object before.
_WARNINGS = frozenset({0x0107, 0x0111, 0x0116})
#: What an explicit VR of UIDs can hold (PS3.5 7.1.2).
_MOST_LISTED = 1000


class Tally:
    """Sub-operations by how they went. For one thread at a time.

    Parameters
    ----------
    sop_instance_uids
        What is to be sent, each once.
    transfer_syntax_uid
        Of the identifiers that list what failed.
    """

    def __init__(self, sop_instance_uids: Iterable[str], *, transfer_syntax_uid: str) -> None:
        self._remaining = set(sop_instance_uids)
        self._syntax = transfer_syntax_uid
        self._completed: set[str] = set()
        self._warned: set[str] = set()
        self._failed: list[str] = []

    @property
    def stored(self) -> frozenset[str]:
        """What the receiver has."""
        return frozenset(self._completed | self._warned)

    @property
    def noted(self) -> int:
        """How many are over."""
        return len(self._completed) + len(self._warned) + len(self._failed)

    def note(self, sop_instance_uid: str, code: int | None) -> None:
        """A C-STORE was answered with ``code``; None: it was not sent, or not answered. What is not awaited is passed over."""
        if sop_instance_uid not in self._remaining:
            return
        self._remaining.discard(sop_instance_uid)
        if code == status.SUCCESS:
            self._completed.add(sop_instance_uid)
        elif code is not None and (code & 0xF000 == 0xB000 or code in _WARNINGS):
            self._warned.add(sop_instance_uid)
        else:
            self._failed.append(sop_instance_uid)

    def fail_rest(self) -> None:
        """Nothing that remains will be sent."""
        for one in sorted(self._remaining):
            self.note(one, None)

    def pending(self) -> Progress:
        """Say that it goes on."""
        return self._progress(status.PENDING, remaining=len(self._remaining))

    def final(self) -> Progress:
        """Say how it ended; cancelled, if something remains."""
        if self._remaining:
            return self._progress(status.CANCELLED, remaining=len(self._remaining))
        if not self._failed and not self._warned:
            return self._progress(status.SUCCESS)
        if not self._completed and not self._warned:
            return self._progress(status.UNABLE_TO_PERFORM_SUB_OPERATIONS)
        return self._progress(status.SUB_OPERATIONS_COMPLETE_WITH_FAILURES)

    def _progress(self, code: int, *, remaining: int | None = None) -> Progress:
        identifier = b""
        if code != status.PENDING and self._failed:
            failed = Dataset()
            failed.FailedSOPInstanceUIDList = self._failed[:_MOST_LISTED]
            identifier = encoded(failed, transfer_syntax_uid=self._syntax)
        return Progress(
            status=code,
            remaining=remaining,
            completed=len(self._completed),
            failed=len(self._failed),
            warning=len(self._warned),
            identifier=identifier,
        )
