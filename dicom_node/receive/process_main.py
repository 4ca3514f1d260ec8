"""What a listener's own process runs (`dicom_node.receive.processes`)."""

import logging
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from pydicom.config import IGNORE
from pydicom.config import settings as pydicom_settings

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.errors import NodeError
from dicom_node.heap import settle
from dicom_node.private import keep_private
from dicom_node.receive.forwarding import Forwarder, end_after
from dicom_node.receive.listener import Listener, Ports, Shared
from dicom_node.receive.retrieve import Carry
from dicom_node.service.observe import configure_logging

#: What it says once it listens.
READY = "ready"
_TELL_SECONDS = 1.0
#: So long a listener whose node is gone may take to end.
_ORPHAN_SECONDS = 5.0


def serve(
    connection: Connection, ports: Ports, settings: Settings, tag: str, carry: Carry | None, shared: Shared | None
) -> None:
    """Listen until the parent says how much grace to give, or is gone."""
    # Ctrl-C and a service manager's SIGTERM reach every process of the node; the parent decides what follows.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    keep_private()
    forwarder = Forwarder(connection)
    configure_logging(settings.log)
    logging.getLogger().handlers[:] = [forwarder]
    # An association request may hold a thousand UIDs, each of which would be validated several times over. Those that
    # count are checked where they are read (`dicom_node.receive.identifiers`).
    pydicom_settings.reading_validation_mode = IGNORE
    try:
        with Catalog(settings.catalog_location) as catalog:
            listener = Listener(settings, catalog, observer=forwarder, ports=ports, tag=tag, carry=carry, shared=shared)
            settle()
            listener.start()
            telling = threading.Thread(target=forwarder.run, name="events", daemon=True)
            grace_seconds = 0.0
            try:
                connection.send(READY)
                telling.start()
                while isinstance(message := connection.recv(), Settings):
                    listener.take_up(message)
                grace_seconds = float(message)
            except (EOFError, OSError):
                # The node is gone, and the next one waits for the port.
                end_after(_ORPHAN_SECONDS)
            listener.stop(grace_seconds=grace_seconds)
        forwarder.finish()
        if telling.is_alive():
            telling.join(_TELL_SECONDS)
    except NodeError as error:
        with suppress(OSError):
            connection.send(error)
