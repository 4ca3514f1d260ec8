"""Logs and metrics, without patient data."""

import logging
import shutil
import sys
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dicom_node.catalog import Catalog, JobState
from dicom_node.config import LogSettings
from dicom_node.privacy import silence_attribute_values
from dicom_node.service.flood import FloodFilter

_STEP_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640, 1280)
_WAITING = (JobState.SELECTING, JobState.QUEUED, JobState.TRANSLATED, JobState.DELIVERING)


def configure_logging(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Send the node's and its libraries' logs to ``stream`` (default: standard error), one JSON object per line.

    Attribute values, which may be a patient's, are kept out of them (`dicom_node.privacy`).
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _frames_of_exception,
    ]
    console = settings.format == "console"
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(FloodFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for library in ("apscheduler", "uvicorn", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # It warns of every timer that is not begun again while it still runs, which is as it should be.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    silence_attribute_values()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _frames_of_exception(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Of an exception keep the frames; its text could quote attribute values."""
    found = event.pop("exc_info", None)
    if found:
        error = (
            found[1] if isinstance(found, tuple) else found if isinstance(found, BaseException) else sys.exc_info()[1]
        )
        if error is not None:
            event["exception"] = "".join(traceback.format_tb(error.__traceback__))
    return event


class Metrics:
    """Prometheus metrics of the node, its process and its Python; also the listener's observer (`dicom_node.receive.ReceiveObserver`)."""

    def __init__(self, catalog: Catalog, *, data_dir: Path) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._received = Counter(
            "s2ldm_received_instances", "C-STORE requests answered", ("route", "outcome"), registry=self.registry
        )
        self._bytes = Counter("s2ldm_received_bytes", "Bytes of data sets received", ("route",), registry=self.registry)
        self._rejected = Counter(
            "s2ldm_rejected_associations", "Associations turned away", ("reason",), registry=self.registry
        )
        self._associations = Gauge("s2ldm_open_associations", "Associations open now", registry=self.registry)
        self._step_seconds = Histogram(
            "s2ldm_step_seconds",
            "Seconds per piece of work (translate, derive: a job; deliver: a delivery)",
            ("step",),
            buckets=_STEP_SECONDS,
            registry=self.registry,
        )
        self.registry.register(_CatalogCollector(catalog, data_dir))

    def stored(self, *, route: str, outcome: str, size: int) -> None:
        """A C-STORE was answered; ``size`` in bytes."""
        self._received.labels(route, outcome).inc()
        self._bytes.labels(route).inc(size)

    def rejected(self, *, reason: str) -> None:
        """An association was turned away."""
        self._rejected.labels(reason).inc()

    def associations(self, *, opened: int) -> None:
        """An association began (1) or ended (-1)."""
        self._associations.inc(opened)

    def worked(self, step: str, seconds: float) -> None:
        """A step did a piece of work."""
        self._step_seconds.labels(step).observe(seconds)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _CatalogCollector(Collector):
    """What the catalog and the disk say when somebody asks; so it is right after a restart, too."""

    def __init__(self, catalog: Catalog, data_dir: Path) -> None:
        self._catalog = catalog
        self._data_dir = data_dir

    def collect(self) -> Iterator[Metric]:
        catalog = self._catalog
        series = GaugeMetricFamily("s2ldm_series", "Series by state", labels=("state",))
        for state, number in catalog.count_series().items():
            series.add_metric((state,), number)
        yield series
        jobs = GaugeMetricFamily("s2ldm_jobs", "Jobs by state", labels=("state",))
        counted = catalog.count_jobs()
        for state in JobState:
            jobs.add_metric((state.value,), counted.get(state.value, 0))
        yield jobs
        deliveries = GaugeMetricFamily(
            "s2ldm_deliveries", "Deliveries by destination and state", labels=("destination", "state")
        )
        for (destination, state), number in catalog.count_deliveries().items():
            deliveries.add_metric((destination, state), number)
        yield deliveries
        oldest = catalog.oldest_job(states=[state.value for state in _WAITING])
        yield GaugeMetricFamily(
            "s2ldm_queue_age_seconds",
            "Age of the oldest job that is waiting",
            value=0.0 if oldest is None else _age(catalog.now(), oldest.created_at),
        )
        yield GaugeMetricFamily(
            "s2ldm_disk_free_bytes", "Free space in data_dir", value=float(shutil.disk_usage(self._data_dir).free)
        )

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not query the database."""
        return iter(())


def _age(now: datetime, since: datetime) -> float:
    return max(0.0, (now - since).total_seconds())
