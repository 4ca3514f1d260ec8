"""Logs: one JSON object a line, and no patient data."""

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog
from pynetdicom.pdu import A_ASSOCIATE_RQ

from dicom_node.config import LogSettings
from dicom_node.service.observe import configure_logging
from tests import wire


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level, filters = root.handlers[:], root.level, warnings.filters[:]
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    warnings.filters[:] = filters
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_event_is_one_json_object_with_its_values(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream=stream)

    structlog.get_logger(step="derive").info("derived", job_id=7)

    (line,) = lines(stream)
    assert (line["event"], line["step"], line["job_id"], line["level"]) == ("derived", "derive", 7, "info")
    assert str(line["timestamp"]).endswith("Z")


def test_level_is_respected(stream: io.StringIO) -> None:
    configure_logging(LogSettings(level="warning"), stream=stream)

    structlog.get_logger().info("quiet")

    assert lines(stream) == []


def test_other_libraries_speak_json_too(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream=stream)

    logging.getLogger("some.library").warning("hello")

    assert lines(stream)[0]["event"] == "hello"


def test_timer_that_is_not_begun_beside_itself_is_nothing_to_tell(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream=stream)

    logging.getLogger("apscheduler.scheduler").warning("maximum number of running instances reached (1)")
    logging.getLogger("apscheduler.scheduler").error("a timer cannot be started")

    assert [line["event"] for line in lines(stream)] == ["a timer cannot be started"]


@pytest.mark.parametrize("level", ["debug", "info"])
def test_what_stands_in_a_pdu_that_is_none_reaches_no_log(stream: io.StringIO, level: str) -> None:
    """A data set may stand there, if a peer is out of step; pynetdicom quotes what it cannot read."""
    configure_logging(LogSettings.model_validate({"level": level}), stream=stream)
    request = wire.associate_rq(called_ae="Doe^John\b", calling_ae="A", contexts=[("1.2.Doe^John", "1.Doe^John")])

    pdu = A_ASSOCIATE_RQ()
    with pytest.raises(ValueError, match="Called AE Title"):
        pdu.decode(request)
    pdu.decode(request.replace(b"\b", b" "))
    assert pdu.to_primitive().called_ae_title == "Doe^John"

    assert "Doe" not in stream.getvalue()


def test_of_a_warning_only_kind_and_place_reach_the_log(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging(LogSettings(), stream=stream)
        warnings.warn("Invalid value 'Doe^John'", UserWarning, stacklevel=1)

    (line,) = lines(stream)
    assert str(line["event"]).startswith("UserWarning at service/test_observe.py:")
    assert "Doe" not in stream.getvalue()


def test_pydicoms_messages_with_values_do_not_reach_the_log(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream=stream)

    logging.getLogger("pydicom").warning("Invalid value 'Doe^John' for VR PN")

    assert "Doe" not in stream.getvalue()


def test_of_an_exception_the_frames_are_kept_and_no_value(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream=stream)
    log = structlog.get_logger()

    try:
        int("Doe^Jane")
    except ValueError:
        log.error("step_fault", exc_info=True)
        logging.getLogger("some.library").exception("failed")

    for line in lines(stream):
        assert "test_of_an_exception_the_frames_are_kept" in str(line["exception"])
        assert "exc_info" not in line
        assert "Doe^Jane'" not in str(line)
