"""Telling people: what failed since a target was last told, and when the node stops being ready or is again."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from dicom_node.catalog import Catalog
from dicom_node.catalog.failures import Failure
from dicom_node.config import SettingsSource
from dicom_node.errors import NodeError
from dicom_node.notify import Notice, NotifyTarget
from dicom_node.service.health import HealthCheck
from s2ldm_core.files import replace_text

#: What is wrong for so many looks in a row is told: a restart of the worker is nobody's business.
_LOOKS = 2
_MOST_LINES = 10
_FILE = "notified.json"


class Notifier:
    """A timer's step. What each target was told last lies in ``notified.json``, so that a restart repeats and drops nothing."""

    def __init__(
        self, settings: SettingsSource, catalog: Catalog, *, health: Callable[[], Sequence[HealthCheck]], folder: Path
    ) -> None:
        self._source, self._catalog, self._health = settings, catalog, health
        self._path = folder / _FILE
        self._began = catalog.now()
        self._told = self._read()
        self._ill = 0
        self._log = structlog.get_logger(step="notify")

    def run_once(self) -> bool:
        """Tell every target what it has not been told; one that cannot be reached is told next time."""
        targets = self._source.current.notify
        if not targets:
            return False
        wrong = [check for check in self._health() if not check.ok]
        self._ill = self._ill + 1 if wrong else 0
        told = [self._tell(target, wrong) for target in targets]
        return any(told)

    def _tell(self, target: NotifyTarget, wrong: Sequence[HealthCheck]) -> bool:
        if target.name not in self._told:
            for event in ("failed", "quarantine"):
                self._keep(target, event, self._began.isoformat())
        known = self._told[target.name]
        since = {event: datetime.fromisoformat(known[event]) for event in ("failed", "quarantine")}
        told = False
        try:
            for event, find in (
                ("failed", self._catalog.failed_since),
                ("quarantine", self._catalog.quarantined_since),
            ):
                if event in target.events and (found := find(since[event])):
                    target.tell(_of_failures(self._node, event, found))
                    self._keep(target, event, found[-1].at.astimezone(UTC).isoformat())
                    told = True
            was_ill = known.get("health") == "ill"
            if "health" in target.events and was_ill != bool(wrong) and (not wrong or self._ill >= _LOOKS):
                target.tell(_of_health(self._node, wrong))
                self._keep(target, "health", "ill" if wrong else "well")
                told = True
        except NodeError as error:
            self._log.warning("notice_not_sent", target=target.name, reason=error.code)
        return told

    @property
    def _node(self) -> str:
        return self._source.current.node.ae_title

    def _keep(self, target: NotifyTarget, event: str, value: str) -> None:
        self._told.setdefault(target.name, {})[event] = value
        replace_text(self._path, json.dumps(self._told, indent=1, sort_keys=True))

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(name): {str(k): str(v) for k, v in known.items()} for name, known in found.items()}
        except (OSError, ValueError, AttributeError):
            return {}


def _of_failures(node: str, event: str, found: Sequence[Failure]) -> Notice:
    """The commonest reasons first, then what they befell."""
    codes = Counter(one.code for one in found)
    listed = ", ".join(f"{code} ({count})" if count > 1 else code for code, count in codes.most_common(3))
    noun = {"failed": "failed", "quarantine": "in quarantine"}[event]
    lines = tuple(f"{one.what}: {one.sentence}" for one in found[-_MOST_LINES:])
    more = (f"and {len(found) - _MOST_LINES} more",) if len(found) > _MOST_LINES else ()
    return Notice(
        node=node,
        event="failed" if event == "failed" else "quarantine",
        summary=f"{len(found)} {noun}: {listed}",
        lines=lines + more,
    )


def _of_health(node: str, wrong: Sequence[HealthCheck]) -> Notice:
    if not wrong:
        return Notice(node=node, event="health", summary="ready again")
    return Notice(
        node=node,
        event="health",
        summary=f"not ready: {', '.join(check.name for check in wrong)}",
        lines=tuple(f"{check.name}: {check.detail}" for check in wrong),
    )
