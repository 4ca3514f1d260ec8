"""What a listener's process tells the node: counts to the observer, log records to the log."""

import logging
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from typing import Any

import pytest
import structlog

from dicom_node.config import LogSettings
from dicom_node.receive.forwarding import Forwarder, replay
from dicom_node.service.observe import configure_logging


class Counts:
    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def stored(self, *, route: str, outcome: str, size: int) -> None:
        self.calls.append((route, outcome, size))

    def rejected(self, *, reason: str) -> None:
        self.calls.append(("rejected", reason))

    def associations(self, *, opened: int) -> None:
        self.calls.append(("associations", opened))


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configuration = structlog.get_config()
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configuration)


def pass_on(forwarder: Forwarder, ours: Any, observer: Counts | None) -> None:
    """Run both ends until the forwarder has finished."""
    thread = threading.Thread(target=forwarder.run)
    thread.start()
    forwarder.finish()
    thread.join(10)
    assert not thread.is_alive()
    forwarder._connection.close()
    replay(ours, observer=observer)


def test_counts_reach_the_observer_in_order() -> None:
    ours, theirs = Pipe()
    forwarder, counts = Forwarder(theirs), Counts()
    forwarder.associations(opened=1)
    forwarder.stored(route="CECT_ART", outcome="new", size=7)
    forwarder.rejected(reason="called_ae_unknown")
    forwarder.associations(opened=-1)
    pass_on(forwarder, ours, counts)
    assert counts.calls == [
        ("associations", 1),
        ("CECT_ART", "new", 7),
        ("rejected", "called_ae_unknown"),
        ("associations", -1),
    ]


def test_associations_end_with_the_process_that_held_them() -> None:
    ours, theirs = Pipe()
    forwarder, counts = Forwarder(theirs), Counts()
    for opened in (1, 1, -1, 1):
        forwarder.associations(opened=opened)
    pass_on(forwarder, ours, counts)
    assert counts.calls[-1] == ("associations", -2)


def test_the_log_goes_where_the_node_writes_its_own(root: logging.Logger) -> None:
    ours, theirs = Pipe()
    forwarder, records = Forwarder(theirs), Records()
    configure_logging(LogSettings())
    root.handlers[:] = [forwarder]
    structlog.get_logger("listener").warning("object_refused", reason="disk_low")
    root.handlers[:] = [records]
    pass_on(forwarder, ours, None)
    (record,) = records.records
    assert record.levelno == logging.WARNING
    assert record.msg["event"] == "object_refused"
    assert record.msg["reason"] == "disk_low"


def test_of_an_exception_the_frames_go_along_and_not_its_text(root: logging.Logger) -> None:
    ours, theirs = Pipe()
    forwarder, records = Forwarder(theirs), Records()
    configure_logging(LogSettings())
    root.handlers[:] = [forwarder]
    value = "^".join(("DOE", "JANE"))
    try:
        raise ValueError(value)
    except ValueError:
        structlog.get_logger("listener").exception("store_failed")
        logging.getLogger("library").exception("failed")
    root.handlers[:] = [records]
    pass_on(forwarder, ours, None)
    ours_, library = records.records
    assert __file__ in ours_.msg["exception"]
    assert __file__ in (library.exc_text or "")
    assert value not in str(ours_.msg) + str(library.exc_text) + library.getMessage()


def test_what_a_log_record_speaks_of_need_not_be_picklable(root: logging.Logger) -> None:
    ours, theirs = Pipe()
    forwarder, records = Forwarder(theirs), Records()
    configure_logging(LogSettings())
    root.handlers[:] = [forwarder]
    logging.getLogger("library").warning("running %s", threading.Lock())
    root.handlers[:] = [records]
    pass_on(forwarder, ours, None)
    (record,) = records.records
    assert record.getMessage().startswith("running <unlocked")
