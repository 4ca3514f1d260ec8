"""A sender as a modality is one: what was not answered 0x0000 is sent again, what was is never sent again."""

import socket
import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE

from tests.committing_peer import leave_answers_to_the_sender
from tests.kills.series import SOP_CLASS, Image, Series
from tests.peers import HOST

ROUTE = "CECT_ART"
_AGAIN_SECONDS = 0.1
_ANSWER_SECONDS = 20.0
#: So that an object is on its way for several PDUs.
_PDU_BYTES = 1024
_P_DATA = 0x04
Act = Callable[[], None]


class Sending:
    """One series on its way, in a thread.

    Parameters
    ----------
    series
        What is sent, image by image.
    port
        Asked for the node's port at every try, as a load balancer would be.
    halfway, answered
        What to do at an image, by its index: when a part of its data set has been sent and the rest has not, and right
        after its 0x0000. Done once, in the thread that sends, which waits for it.
    """

    def __init__(
        self,
        series: Series,
        *,
        port: Callable[[], int],
        halfway: Mapping[int, Act] | None = None,
        answered: Mapping[int, Act] | None = None,
    ) -> None:
        self.series = series
        self.acknowledged: set[str] = set()
        self.tries = 0
        self._port = port
        self._halfway, self._answered = dict(halfway or {}), dict(answered or {})
        self._index, self._pdus = 0, 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether every image was answered 0x0000."""
        return len(self.acknowledged) == len(self.series.images)

    def stop(self) -> None:
        """Give up what is left."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self.is_over and not self._stopping.wait(_AGAIN_SECONDS if self.tries else 0.0):
            self.tries += 1
            try:
                self._try()
            except OSError:  # the node is away
                continue

    def _try(self) -> None:
        entity = AE("SENDER")
        entity.dimse_timeout = _ANSWER_SECONDS
        entity.acse_timeout = entity.connection_timeout = _ANSWER_SECONDS
        entity.add_requested_context(SOP_CLASS, ExplicitVRLittleEndian)
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, _send_at_once), (evt.EVT_DATA_SENT, self._look_at_pdu)]
        association = entity.associate(HOST, self._port(), ae_title=ROUTE, evt_handlers=handlers)
        if not association.is_established:
            return
        leave_answers_to_the_sender(association)
        for index, image in enumerate(self.series.images):
            if image.uid in self.acknowledged:
                continue
            self._index, self._pdus = index, 0
            if _store(association, image, number=index + 1) != 0x0000:
                association.abort()
                return
            self.acknowledged.add(image.uid)
            if (act := self._answered.pop(index, None)) is not None:
                act()
        association.release()

    def _look_at_pdu(self, event: evt.Event) -> None:
        """Of an image the first PDU is the command, the second the data set's beginning."""
        if event.data[0] != _P_DATA:
            return
        self._pdus += 1
        if self._pdus == 2 and (act := self._halfway.pop(self._index, None)) is not None:
            act()


def _store(association: Association, image: Image, *, number: int) -> int | None:
    """C-STORE one image; the status, None where there is no answer."""
    if not association.is_established:
        return None
    request = C_STORE()
    request.MessageID, request.Priority = number, 0
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = SOP_CLASS, image.uid
    request.DataSet = BytesIO(image.content)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    for fragments in message.encode_msg(association.accepted_contexts[0].context_id, _PDU_BYTES):
        association.dul.send_pdu(fragments)
    _, response = association.dimse.get_msg(block=True)
    status: int | None = None if response is None else response.Status
    return status


def _send_at_once(event: evt.Event) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
