"""The demo's own storage destination: a small Storage SCP that keeps what it is sent."""

import socket
import threading
from pathlib import Path
from typing import Self, cast

from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.presentation import StoragePresentationContexts
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

_SUCCESS = 0x0000
_CANNOT_UNDERSTAND = 0xC000
_MAX_PDU_BYTES = 262_144


class StorageDestination:
    """Listens on 127.0.0.1 and writes every object it receives into ``folder``, one numbered file each.

    As an archive does, it keeps one copy of an instance that is sent again: a delivery is repeated when its answer got lost.

    Use as a context manager; ``port`` is known after entering.
    """

    def __init__(self, folder: Path, *, ae_title: str = "DEMO_PACS") -> None:
        self.ae_title = ae_title
        self._folder = folder
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._server: ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        """TCP port it listens on."""
        if self._server is None:
            raise RuntimeError("the destination is not running")
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        entity = AE(ae_title=self.ae_title)
        entity.maximum_pdu_size = _MAX_PDU_BYTES
        entity.supported_contexts = StoragePresentationContexts
        entity.add_supported_context(Verification)
        self._server = entity.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[(evt.EVT_CONN_OPEN, _answer_at_once), (evt.EVT_C_STORE, self._store)],
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def received(self) -> list[Path]:
        """Files received so far, in order of arrival."""
        return sorted(self._folder.glob("*.dcm"))

    def _store(self, event: Event) -> int:
        instance = str(cast(C_STORE, event.request).AffectedSOPInstanceUID)
        with self._lock:
            number = self._numbers.setdefault(instance, len(self._numbers) + 1)
        # A number, not a UID from the wire, names the file.
        path = self._folder / f"{number:06d}.dcm"
        try:
            path.write_bytes(event.encoded_dataset())
        except OSError:
            return _CANNOT_UNDERSTAND
        return _SUCCESS


def _answer_at_once(event: Event) -> None:
    """Without Nagle's algorithm, which costs some 40 ms an object."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
