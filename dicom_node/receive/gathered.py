"""Requests with a data set that is no object: gathered in memory, read, and answered."""

import threading
from collections.abc import Callable
from typing import Protocol

import structlog
from pydicom import Dataset
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.commitment import decoded
from dicom_node.errors import CatalogError
from dicom_node.receive.admission import Admission
from dicom_node.streaming import Answer, Command, Sink, status

_log = structlog.get_logger(__name__)

#: Some 9,000 instances of storage commitment; as a data set it takes forty times the room, so one is read at a time.
MOST_BYTES = 1024 * 1024

#: Takes the data set, who sent it, and its transfer syntax; raises ValueError for what is not as it must be.
Take = Callable[[Dataset, Admission, str], Answer]


class Desk(Protocol):
    """Takes the requests of a service."""

    def begin(self, command: Command, admission: Admission, *, transfer_syntax_uid: str) -> Sink | None:
        """Where the data set that follows ``command`` goes; None: it takes no such request."""


class Gathered:
    """The data set of a request (a `dicom_node.streaming.Sink`).

    Parameters
    ----------
    take
        What is done with it.
    one_at_a_time
        Held meanwhile.
    """

    def __init__(
        self,
        take: Take,
        one_at_a_time: threading.Lock,
        admission: Admission,
        *,
        transfer_syntax_uid: str,
    ) -> None:
        self._take = take
        self._one_at_a_time = one_at_a_time
        self._admission = admission
        self._syntax = transfer_syntax_uid
        self._encoded = bytearray()
        self._too_large = False

    def write(self, fragment: memoryview) -> None:
        """Take the next fragment; beyond `MOST_BYTES` nothing is kept."""
        self._too_large = self._too_large or len(self._encoded) + len(fragment) > MOST_BYTES
        if self._too_large:
            self._encoded.clear()
        else:
            self._encoded += fragment

    def discard(self) -> None:
        """Nothing was done."""
        self._encoded.clear()

    def finish(self) -> Answer:
        """Do what it asks for, and say how that went."""
        try:
            answer = self._taken()
        except ValueError as error:
            answer = Answer(status.INVALID_ARGUMENT, str(error))
        except (CatalogError, SQLAlchemyError):
            answer = Answer(status.PROCESSING_FAILURE, "catalog unavailable")
        if answer.status != status.SUCCESS:
            who = self._admission
            _log.warning(
                "request_refused",
                calling_ae=who.calling_ae,
                peer=who.peer,
                status=f"0x{answer.status:04X}",
                why=answer.comment,
            )
        return answer

    def _taken(self) -> Answer:
        if self._too_large:
            return Answer(status.RESOURCE_LIMITATION, "more than the node takes at a time")
        with self._one_at_a_time:
            dataset = decoded(bytes(self._encoded), transfer_syntax_uid=self._syntax)
            return self._take(dataset, self._admission, self._syntax)
