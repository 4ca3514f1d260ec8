"""The audit trail of a running node: what the catalog says came and went, its files' end, and the syslog server."""

import json
import ssl
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from dicom_node.audit.events import received, sending, sent
from dicom_node.audit.messages import Event, Study
from dicom_node.audit.syslog import Syslog
from dicom_node.audit.trail import AuditTrail
from dicom_node.catalog import Catalog
from dicom_node.catalog.audit_events import Transfer
from dicom_node.config import SettingsSource
from dicom_node.errors import ConfigError
from dicom_node.private import FOLDER_MODE
from dicom_node.tls_faults import BrokenHandshake, tls_problem
from s2ldm_core.files import replace_text

_STATE = "recorded.json"
#: The clock may be stepped back by so much, and a transaction be so late, without anything being missed.
_WINDOW = timedelta(hours=2)


class AuditStep:
    """A timer's step: records transfers, after a restart too those before it; none is left out, and at a kill one may come twice."""

    def __init__(self, settings: SettingsSource, catalog: Catalog, trail: AuditTrail) -> None:
        self._source, self._catalog, self._trail = settings, catalog, trail
        self._path = trail.folder / _STATE
        self._since, self._seen = self._read()
        # At once: what happens before anything is recorded is not missed after a kill.
        self._keep()

    def run_once(self) -> bool:
        """Record what is new; raises OSError where the disk does not take it, and then has it again."""
        self._trail.flush()
        keep_days = self._source.current.audit.keep_days
        if keep_days is not None:
            self._trail.remove_before(self._catalog.now() - timedelta(days=keep_days))
        # A clock that was far ahead must not hide what comes now.
        self._since = min(self._since, self._catalog.now())
        new = self._catalog.transfers_since(self._since - _WINDOW, but=frozenset(self._seen))
        for one in new:
            for event in self._events(one):
                self._trail.append(event)
            self._seen[one.key] = one.at
            self._since = max(self._since, one.at)
        if new:
            self._seen = {key: at for key, at in self._seen.items() if at > self._since - 2 * _WINDOW}
            self._keep()
        return False  # nobody's work comes of it

    def _events(self, one: Transfer) -> list[Event]:
        """The end of a transfer, and before it the beginning of one that came: at that time nobody knew yet whose it is."""
        node, study = self._trail.node, _study(one)
        if one.destination is None:
            came = partial(received, node, calling_ae=one.calling_ae, address=one.peer, study=study)
            began = [] if one.began_at is None else [came(at=one.began_at, begins=True)]
            return [*began, came(at=one.at)]
        party = self._source.current.destinations.get(one.destination)
        return [
            sent(
                node,
                destination=one.destination,
                ae_title="" if party is None else party.called_ae_title,
                address="" if party is None else party.place,
                leaves_network=party is not None and party.is_media,
                study=study,
                at=one.at,
                problem=one.problem,
            )
        ]

    def _keep(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        seen = {key: at.isoformat() for key, at in self._seen.items()}
        replace_text(self._path, json.dumps({"since": self._since.isoformat(), "seen": seen}), mode=0o640)

    def _read(self) -> tuple[datetime, dict[str, datetime]]:
        """Where the last run ended. Without any, the trail begins now: what there is already is not new."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            seen = {str(key): datetime.fromisoformat(at) for key, at in found["seen"].items()}
            return datetime.fromisoformat(found["since"]), seen
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            now = self._catalog.now()
            return now, {one.key: one.at for one in self._catalog.transfers_since(now - _WINDOW)}


class Outgoing:
    """Records that derived series begin to go, before they do; of what goes to no other application entity nothing (A.5.3.5)."""

    def __init__(self, settings: SettingsSource, catalog: Catalog, trail: AuditTrail) -> None:
        self._source, self._catalog, self._trail = settings, catalog, trail

    def began(self, delivery_id: int) -> None:
        """A delivery is tried for the first time."""
        one = self._catalog.outgoing(delivery_id)
        party = None if one is None else self._source.current.destinations.get(one.destination or "")
        if one is None or one.destination is None or party is None or party.is_media:
            return
        self._trail.record(
            sending(
                self._trail.node,
                destination=one.destination,
                ae_title=party.called_ae_title,
                address=party.place,
                study=_study(one),
                at=one.at,
            )
        )


def _study(one: Transfer) -> Study:
    return Study(uid=one.study_instance_uid, sop_classes=one.sop_classes, patient_id=one.patient_id or None)


class SyslogStep:
    """A timer's step: sends the trail to ``audit.syslog``. Nobody waits for it."""

    def __init__(self, settings: SettingsSource, folder: Path) -> None:
        self._source = settings
        self._syslog = Syslog(folder)
        self._log = structlog.get_logger(step="audit")
        self._away = False

    def run_once(self) -> bool:
        """Send what is new; a server that is away gets it next time."""
        settings = self._source.current.audit
        if settings.syslog is None:
            return False
        try:
            self._syslog.send_new(settings)
        except (OSError, ConfigError) as error:
            if not self._away:
                self._log.warning("audit_not_sent", syslog=settings.syslog, reason=_why(error))
            self._away = True
        else:
            self._away = False
        return False


def _why(error: OSError | ConfigError) -> str:
    """A code, or what the system says."""
    if isinstance(error, ConfigError):
        return error.code
    if isinstance(error, ssl.SSLError):
        return tls_problem(BrokenHandshake(error=error), who="The syslog server").code
    return error.strerror or str(error)
