"""The node: listener, steps, timers and web server, wired together."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import structlog

from dicom_node.audit.events import application, configuration_changed
from dicom_node.audit.trail import AuditTrail
from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.deliver.step import DeliverStep
from dicom_node.derive.step import DeriveStep
from dicom_node.heap import HeapStep
from dicom_node.private import make_private
from dicom_node.receive import ListenerProcesses
from dicom_node.series import CompletionStep, Examiner, SelectStep
from dicom_node.service.auditing import AuditStep, Outgoing, SyslogStep
from dicom_node.service.committing import commitment_step
from dicom_node.service.configuration import Configuration
from dicom_node.service.confirming import image_count, missing_images
from dicom_node.service.health import HealthCheck, disk_problem, run_checks
from dicom_node.service.leading import Leading, ToldLead
from dicom_node.service.lease_sweep import LeaseSweep
from dicom_node.service.lock import DataDirLock
from dicom_node.service.loop import Step, StepLoop
from dicom_node.service.models import model_identity, model_min_slices
from dicom_node.service.moving import carry
from dicom_node.service.notifying import Notifier
from dicom_node.service.observe import Metrics
from dicom_node.service.orphans import OrphanSweep
from dicom_node.service.retention import RetentionStep
from dicom_node.service.stalls import StallWatch
from dicom_node.service.timers import Timers
from dicom_node.translate.step import TranslateStep
from dicom_node.web.app import create_app
from dicom_node.web.server import WebServer

# A sweep reads a few rows; half of this is what a series waits for nothing.
_SWEEP_SECONDS = 0.25
#: How often the configuration file is looked at.
_CONFIGURATION_SECONDS = 1.0
_RETENTION_SECONDS = 3600.0
_HEAP_SECONDS = 600.0
_STOP_SECONDS = 30.0
_NOTIFY_SECONDS = 15.0
_AUDIT_SECONDS = 5.0
#: How often claims are looked at that have run out.
_LEASE_SWEEP_SECONDS = 2.0
#: A piece of work in the node's own process takes less, unless it hangs; then its lease ends.
_PIECE_SECONDS = 600.0
#: Work that waits for so long without any being done stalls.
_STALL_SECONDS = 300.0
#: Most deliveries side by side, however many destinations there are.
_DELIVERY_LOOPS = 32


class Node:
    """A running node.

    ``config``: the file that the settings were read from, whose changes it takes up; None: it keeps the settings.

    Every timer and step takes its work from the catalog, so stopping, by whatever means, loses nothing, and starting
    again continues.

    >>> with stop_signals() as stop, Node(load_settings()):
    ...     stop.wait()
    """

    def __init__(self, settings: Settings, *, config: Path | None = None) -> None:
        self.settings = settings
        self.configuration = Configuration(settings, config)
        source = self.configuration
        self._log = structlog.get_logger(part="node")
        with ExitStack() as stack:
            lock = DataDirLock(settings.node.data_dir, several=settings.several_nodes)
            stack.callback(lock.acquire().release)
            self.catalog = Catalog(settings.catalog_location)
            make_private([settings.node.data_dir, *settings.node.data_dir.iterdir()])
            stack.callback(self.catalog.close)
            self._lead = ToldLead(self.catalog.lead())
            stack.callback(self._lead.close)
            self.metrics = Metrics(self.catalog, data_dir=settings.node.data_dir)
            self._listener = ListenerProcesses(settings, observer=self.metrics, carry=carry)
            self._translate = [TranslateStep(source, self.catalog) for _ in range(settings.compute.side_by_side)]
            node = settings.node
            self._trail = AuditTrail(node.data_dir / "audit", node=node.ae_title, now=self.catalog.now)
            outgoing = Outgoing(source, self.catalog, self._trail)
            self._deliver = DeliverStep(source, self.catalog, on_begin=outgoing.began)
            count, fetch = image_count(source), missing_images(source)
            self._completion = CompletionStep(
                source, self.catalog, model_identity=model_identity, count=count, fetch=fetch
            )
            self._examiner = Examiner()
            self._orphans = OrphanSweep(settings, self.catalog)
            self._loops = self._make_loops()
            self.configuration.on_change(self._take_up)
            self._timers = Timers(on_work=self.wake)
            self._stalls = StallWatch(_stall_limits(settings), oldest_due=self._oldest_due, now=self.catalog.now)
            self._web = WebServer(
                create_app(
                    source, self.catalog, readiness=self.health, metrics=self.metrics.exposition, trail=self._trail
                ),
                host=settings.web.host,
                port=settings.web.port,
                tls=settings.web.tls,
                trusted_proxies=settings.web.trusted_proxies,
            )
            self._cleanup = stack.pop_all()

    def __enter__(self) -> "Node":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Take up what the last run left, then listen.

        Raises
        ------
        NodeError
            A port cannot be bound or the catalog cannot be used; everything already started is stopped again.
        """
        self._trail.record(application(self._trail.node, started=True, at=self.catalog.now()))
        try:
            self.configuration.run_once()
            resumed = self.catalog.take_series_up()
            if not self.settings.several_nodes:  # others may hold claims
                resumed += self.catalog.sweep_leases()
            self._log.info("starting", resumed=resumed)
            self._start(self._web.start, self._web.stop)
            # Before anything is received or completed: of a series in the spool all files have their rows then.
            if self._lead.leads():
                self._orphans.recover()
            self._start(self._listener.start, self._listener.stop)
            self._start(self._start_loops, self._stop_loops)
            self._start(self._start_timers, self._timers.stop)
        except BaseException:
            self._cleanup.close()
            raise
        self._log.info("started", routes=sorted(self.settings.routes), destinations=sorted(self.settings.destinations))

    def stop(self) -> None:
        """Stop in reverse order: receive nothing more, end the work at hand or leave it to the next start."""
        self._log.info("stopping")
        self._trail.record(application(self._trail.node, started=False, at=datetime.now(UTC)))
        self._cleanup.close()
        self._log.info("stopped")

    def reload(self) -> None:
        """Read the configuration now, even if it is the same text as before."""
        self._log.info("reload_asked_for")
        self.configuration.look_again()
        self._timers.run_now("configuration")

    def wake(self) -> None:
        """Tell every step that there may be work."""
        for loop in self._loops:
            loop.wake()

    def health(self) -> list[HealthCheck]:
        """Every part of the node: is it ready for work?"""
        node = self.settings.node
        checks: dict[str, Callable[[], str | None]] = {
            "catalog": self.catalog.check,
            "listener": lambda: None if self._listener.is_listening else "the listener does not accept associations",
            "worker": self._worker_fault,
            "steps": self._step_faults,
            "timers": self._timers.fault,
            "work": self._stalls.problem,
            "disk": lambda: disk_problem(str(node.data_dir), min_free_mib=node.min_free_mib),
        }
        # A refused file is said but stops nothing: the earlier configuration is in force.
        configuration = HealthCheck(name="configuration", ok=True, detail=self.configuration.detail())
        return [*run_checks(checks), configuration, *self._confirming()]

    def _confirming(self) -> list[HealthCheck]:
        """Whether series can be confirmed. Where not, they complete later and the node is as ready as ever."""
        name = self.settings.series.confirm_with
        if name is None:
            return []
        problem = self._completion.confirm_problem
        wrong = "" if problem is None else f"series wait for quiet_seconds: {problem.sentence}"
        return [HealthCheck(name=f"confirm with {name}", ok=True, detail=wrong)]

    def _make_loops(self) -> list[StepLoop]:
        source, catalog = self.configuration, self.catalog
        steps: dict[str, Step] = {
            "select": SelectStep(source, catalog, model_min_slices=model_min_slices, examine=self._examiner.examine),
            **_numbered("translate", self._translate),
            "derive": DeriveStep(source, catalog),
            "commit": commitment_step(source, catalog),
        }
        steps |= _numbered("deliver", [self._deliver] * _delivery_loops(self.settings))
        return [StepLoop(name, step, on_work=self._worked) for name, step in steps.items()]

    def _worked(self, step: str, seconds: float) -> None:
        name = step.split("-")[0]
        self.metrics.worked(name, seconds)
        self._stalls.worked(name)
        self.wake()

    def _start(self, start: Callable[[], None], stop: Callable[[], None]) -> None:
        start()
        self._cleanup.callback(stop)

    def _start_loops(self) -> None:
        self._examiner.start()
        for loop in self._loops:
            loop.start()

    def _stop_loops(self) -> None:
        for loop in self._loops:
            loop.stop()
        # A delivery ends after the instance at hand; first, because the worker may take seconds to go.
        self._deliver.stop()
        with ThreadPoolExecutor(len(self._translate)) as pool:
            list(pool.map(TranslateStep.stop, self._translate))
        self._examiner.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for loop in self._loops:
            if not loop.join(max(0.0, deadline - time.monotonic())):
                self._log.warning("step_still_working", step=loop.name)

    def _start_timers(self) -> None:
        limits, source, catalog = self.settings.series, self.configuration, self.catalog
        folder = self.settings.node.data_dir
        of_one_node: dict[str, tuple[Callable[[], Step], float]] = {
            "completion": (
                lambda: self._completion,
                min(_SWEEP_SECONDS, limits.quiet_seconds, limits.confirmed_seconds),
            ),
            "leases": (self._lease_sweep, _LEASE_SWEEP_SECONDS),
            "retention": (lambda: RetentionStep(source, catalog), _RETENTION_SECONDS),
            "orphans": (lambda: self._orphans, _RETENTION_SECONDS),
            "notify": (lambda: Notifier(source, catalog, health=self.health, folder=folder), _NOTIFY_SECONDS),
            "audit": (lambda: AuditStep(source, catalog, self._trail), _AUDIT_SECONDS),
            "syslog": (lambda: SyslogStep(source, self._trail.folder), _AUDIT_SECONDS),
        }
        for name, (make, seconds) in of_one_node.items():
            self._timers.add(name, Leading(make, self._lead), seconds=seconds)
        self._timers.add("configuration", source, seconds=_CONFIGURATION_SECONDS)
        self._timers.add("heap", HeapStep(), seconds=_HEAP_SECONDS)
        self._timers.start()

    def _lease_sweep(self) -> LeaseSweep:
        return LeaseSweep(self.catalog, pause_seconds=4 * _LEASE_SWEEP_SECONDS, wait_first=self.settings.several_nodes)

    def _oldest_due(self) -> dict[str, datetime]:
        return self.catalog.oldest_due(exclude_destinations=self._deliver.left_alone)

    def _take_up(self, settings: Settings) -> None:
        self._listener.take_up(settings)
        self.wake()
        newest = None if self.configuration.book is None else self.configuration.book.versions.last()
        self._trail.record(
            configuration_changed(
                self._trail.node,
                who="unknown" if newest is None else newest.who,
                version=0 if newest is None else newest.number,
                at=self.catalog.now(),
            )
        )

    def _worker_fault(self) -> str | None:
        """Why nothing can be translated; while one worker of several has its models, something can."""
        return (
            None if any(step.ready for step in self._translate) else "the translation worker has not loaded its models"
        )

    def _step_faults(self) -> str | None:
        faults = [f"{loop.name}: {loop.fault}" for loop in self._loops if loop.fault]
        return "; ".join(faults) or None


def _numbered(name: str, steps: Sequence[Step]) -> dict[str, Step]:
    """Steps of a kind by the names of their loops."""
    return {f"{name}-{number}": step for number, step in enumerate(steps, start=1)}


def _delivery_loops(settings: Settings) -> int:
    """Enough for every destination to be busy, so that those which hang leave the others theirs."""
    return min(max(1, sum(one.at_once for one in settings.destinations.values())), _DELIVERY_LOOPS)


def _stall_limits(settings: Settings) -> dict[str, float]:
    """How long work of each step may be due while the step has done none; beyond what one piece of it may take."""
    series = settings.series
    return {
        "completion": max(series.open_association_seconds, series.quiet_seconds) + _STALL_SECONDS,
        "select": _PIECE_SECONDS + _STALL_SECONDS,
        "translate": settings.compute.job_timeout_seconds + _STALL_SECONDS,
        "derive": _PIECE_SECONDS + _STALL_SECONDS,
        "deliver": _PIECE_SECONDS + _STALL_SECONDS,
        "commit": _PIECE_SECONDS + _STALL_SECONDS,
    }
