"""A database that is elsewhere need not be there before the node is."""

import threading

import structlog

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.errors import CatalogAwayError

_AGAIN_SECONDS = 2.0


def await_database(settings: Settings, stop: threading.Event) -> bool:
    """Wait until the database of several nodes answers; False if ``stop`` came first.

    Until then nothing is listened on: a load balancer goes to another node, and no sender is told that we hold anything.

    Raises
    ------
    CatalogError
        It answers, and is of no use: ``catalog_version``, ``database_driver_missing``.
    """
    if not settings.several_nodes:
        return True
    log = structlog.get_logger(part="node")
    said = None
    while not stop.is_set():
        try:
            Catalog(settings.catalog_location).close()
        except CatalogAwayError as error:
            if error.sentence != said:
                log.warning("database_awaited", sentence=error.sentence, remedy=error.remedy)
            said = error.sentence
            stop.wait(_AGAIN_SECONDS)
        else:
            return True
    return False
