"""A node's catalog and folder without its processes, in a time of their own (``python -m bench.year``)."""

import os
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dicom_node.audit.trail import AuditTrail
from dicom_node.catalog import Catalog, DerivedInstance, InstanceAnswer, JobRow, JobState, NewInstance, Verdict
from dicom_node.config import Settings, parse_settings
from dicom_node.receive.file_meta import Provenance
from dicom_node.receive.spool import Spool, holds
from dicom_node.series import CompletionStep
from dicom_node.service.auditing import AuditStep
from dicom_node.service.orphans import OrphanSweep
from dicom_node.service.retention import RetentionStep
from s2ldm_core.problem import Problem
from tests import wire
from tests.catalog_jobs import Clock

_ROUTE, _DESTINATION = "CECT_ART", "pacs"
_HOUR = 3600.0
_ROOT = "1.2.826.0.1.3680043.8.498.21"
_IMAGE_BYTES, _DERIVED_BYTES = 16_384, 16_384
_REFUSED = Problem("too_few_slices", "The series has too few slices.", "Send the whole series.")
_FAILED = Problem("examination_timeout", "Looking at it took too long.", "Retry the job.")
_UNREADABLE = Problem("not_dicom", "It is no DICOM.", "Send it again.")


@dataclass(frozen=True, kw_only=True)
class Day:
    """What stood at the end of a day, and how long its slowest sweep of each kind took."""

    day: int
    rows: int
    series: int
    catalog_kib: int
    files: int
    file_kib: int
    audit_kib: int
    retention_ms: float
    orphans_ms: float
    completion_ms: float


class Year:
    """A node's catalog and folder without its processes, in a time of their own."""

    def __init__(self, folder: Path, *, retention: dict[str, Any]) -> None:
        self.settings: Settings = parse_settings(
            {
                "node": {"data_dir": str(folder), "min_free_mib": 0},
                "series": {"quiet_seconds": 600.0},
                "routes": {_ROUTE: {"phase": "arterial", "destinations": [_DESTINATION]}},
                "retention": retention,
                "audit": {"keep_days": retention["catalog_days"]},
            }
        )
        self.clock = Clock()
        # Files bear the time of this machine; a simulated year that begins with it never takes one for young.
        self.clock.time = datetime.now(UTC)
        self.begun = self.clock()
        self.catalog = Catalog(self.settings.catalog_location, clock=self.clock, monotonic=self.clock.monotonic)
        self._spool = Spool(folder, min_free_bytes=0)
        self._spool.prepare()
        self._trail = AuditTrail(folder / "audit", node="S2LDM", now=self.clock)
        self._completion = CompletionStep(
            self.settings, self.catalog, model_identity=lambda model: f"{model} 1", monotonic=self.clock.monotonic
        )
        self._retention = RetentionStep(self.settings, self.catalog)
        self._orphans = OrphanSweep(self.settings, self.catalog, clock=lambda: self.clock().timestamp())
        self._audit = AuditStep(self.settings, self.catalog, self._trail)
        self._again: list[tuple[datetime, int]] = []
        self._took: dict[str, float] = {}

    def close(self) -> None:
        """End; the files stay."""
        self._spool.close()
        self.catalog.close()

    def day(self, number: int, *, series: int, sweeps: int) -> Day:
        """Live through a day and say what stands at its end."""
        self._took = dict.fromkeys(("retention", "orphans", "completion"), 0.0)
        for part in range(sweeps):
            first, last = (series * one // sweeps for one in (part, part + 1))
            for one in range(number * series + first, number * series + last):
                self._receive(one)
                self.clock.advance(24 * _HOUR / series / 2)
            for at, one in [again for again in self._again if again[0] <= self.clock()]:
                self._again.remove((at, one))
                self._receive(one, again=True)
            self._sweep("completion", self._completion)  # which begins to wait for silence
            self.clock.advance(24 * _HOUR / sweeps / 2)
            self._sweep("completion", self._completion)
            self._work()
            self.catalog.sweep_leases()
            self._audit.run_once()
            self._sweep("retention", self._retention)
            self._sweep("orphans", self._orphans)
        return self._stand(number)

    def faults(self) -> list[str]:
        """Rows without their files or their parents, and files without their rows."""
        data_dir = self.settings.node.data_dir
        found = []
        with sqlite3.connect(data_dir / "catalog.sqlite") as rows:
            if dangling := rows.execute("PRAGMA foreign_key_check").fetchall():
                found.append(f"{len(dangling)} rows whose parents are gone, such as of {dangling[0][0]}")
            named = {
                path
                for table in ("instances", "quarantine", "derived_instances")
                for (path,) in rows.execute(
                    f"SELECT path FROM {table} WHERE path IS NOT NULL"  # noqa: S608 (names of tables, from the line above)
                )
            }
        there = {
            str(path) for place in ("incoming", "quarantine", "derived") for path in (data_dir / place).rglob("*.dcm")
        }
        if missing := named - there:
            found.append(f"{len(missing)} rows name files that are not there")
        if left := there - named:
            found.append(f"{len(left)} files that no row names")
        if work := [one for one in self.settings.work_dir.glob("*") if one.is_dir()]:
            found.append(f"{len(work)} folders of work at hand")
        return found

    def _sweep(self, name: str, step: Any) -> None:
        begun = time.perf_counter()
        step.run_once()
        self._took[name] = max(self._took[name], 1e3 * (time.perf_counter() - begun))

    def _receive(self, number: int, *, again: bool = False) -> None:
        fate = number % 100
        association = f"year-{number}-{again}"
        self.catalog.open_association(association, called_ae=_ROUTE, calling_ae="PACS", peer="127.0.0.1")
        batch = [self._stored(number, image, association) for image in range(1 + number % 2)]
        for one, outcome in zip(batch, self.catalog.add_instances(batch, is_there=holds), strict=True):
            if outcome.value == "same":
                one.path.unlink()
        if fate in (96, 97):
            broken = self._stored(number, 9, association)
            self.catalog.quarantine_object(
                route=_ROUTE,
                calling_ae="PACS",
                peer="127.0.0.1",
                association_id=association,
                sop_instance_uid=broken.sop_instance_uid,
                path=self._spool.quarantine(broken.path),
                size=broken.size,
                reason=_UNREADABLE,
                phase="arterial",
                model="demo",
            )
        elif fate in (98, 99) and not again:
            self._again.append((self.clock() + timedelta(days=0.5), number))
        self.catalog.close_association(association, outcome="released")

    def _stored(self, number: int, image: int, association: str) -> NewInstance:
        """One tiny image in the spool, as the listener puts it there."""
        series = f"{_ROOT}.{number}"
        instance = f"{series}.{image}"
        provenance = Provenance(
            sop_class_uid=wire.CT,
            sop_instance_uid=instance,
            transfer_syntax_uid=wire.EXPLICIT,
            calling_ae="PACS",
            called_ae=_ROUTE,
        )
        file = self._spool.create(provenance, shard=f"{number % 256:02x}")
        uids = ((0x08, 0x16, wire.CT), (0x08, 0x18, instance), (0x20, 0x0D, f"{series}.0"), (0x20, 0x0E, series))
        file.append(b"".join(wire.data_element(group, tag, "UI", uid.encode()) for group, tag, uid in uids))
        file.append(wire.data_element(0x7FE0, 0x10, "OW", bytes(_IMAGE_BYTES)))
        file.seal()
        os.utime(file.path, (self.clock().timestamp(),) * 2)
        return NewInstance(
            series_instance_uid=series,
            study_instance_uid=f"{series}.0",
            sop_instance_uid=instance,
            sop_class_uid=wire.CT,
            transfer_syntax_uid=wire.EXPLICIT,
            path=file.path,
            digest=file.digest,
            size=file.length,
            route=_ROUTE,
            calling_ae="PACS",
            peer="127.0.0.1",
            association_id=association,
        )

    def _work(self) -> None:
        """Take every job to its end, by its number, as the steps would."""
        catalog = self.catalog
        while (job := catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "select")) is not None:
            fate = self._fate(job)
            if fate < 8:
                catalog.refuse_job(job, _REFUSED)
            elif fate < 11:
                catalog.fail_job(job, _FAILED)
            elif fate == 11:
                catalog.cancel_job(job.id)
            else:
                catalog.accept_job(job, details={"slices": job.instance_count})
        while (job := catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "translate")) is not None:
            work = self.settings.work_dir / f"{job.id}.year"
            work.mkdir(parents=True)
            (work / "hu.npy").write_bytes(bytes(_DERIVED_BYTES))
            catalog.finish_translation(job, result_path=work, details={"seconds": {"model": 1.0}})
        while (job := catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "derive")) is not None:
            self._derive(job)
        while (delivery := catalog.claim_delivery(self.clock())) is not None:
            answers = [
                InstanceAnswer(sop_instance_uid=one.sop_instance_uid, verdict=Verdict.ACCEPTED, status=0, comment="")
                for one in catalog.delivery_instances(delivery.id)
            ]
            catalog.set_answers(delivery, answers)
            catalog.finish_delivery(delivery)

    def _derive(self, job: JobRow) -> None:
        folder = self.settings.derived_dir / f"{job.id}.year"
        folder.mkdir(parents=True)
        made = []
        for ordinal in range(job.instance_count):
            path = folder / f"{ordinal + 1:05d}.dcm"
            path.write_bytes(bytes(_DERIVED_BYTES))
            os.utime(path, (self.clock().timestamp(),) * 2)
            uid = f"{_ROOT}.9.{job.id}.{ordinal}"
            made.append(
                DerivedInstance(
                    sop_instance_uid=uid, sop_class_uid=wire.CT, series_instance_uid=f"{_ROOT}.9.{job.id}", path=path
                )
            )
        os.utime(folder, (self.clock().timestamp(),) * 2)
        self.catalog.finish_derivation(
            job, series_instance_uid=f"{_ROOT}.9.{job.id}", instances=made, destinations=[_DESTINATION]
        )

    def _fate(self, job: JobRow) -> int:
        return int((job.series_instance_uid or "0").rpartition(".")[2]) % 100

    def _stand(self, number: int) -> Day:
        data_dir = self.settings.node.data_dir
        sizes = [
            path.stat().st_size
            for place in ("incoming", "quarantine", "derived")
            for path in (data_dir / place).rglob("*")
            if path.is_file()
        ]
        with sqlite3.connect(data_dir / "catalog.sqlite") as rows:
            tables = [name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            counts = {name: rows.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # noqa: S608
        return Day(
            day=number + 1,
            rows=sum(counts.values()),
            series=counts["series"],
            catalog_kib=sum(path.stat().st_size for path in data_dir.glob("catalog.sqlite*")) // 1024,
            files=len(sizes),
            file_kib=sum(sizes) // 1024,
            audit_kib=sum(path.stat().st_size for path in (data_dir / "audit").glob("*")) // 1024,
            retention_ms=self._took["retention"],
            orphans_ms=self._took["orphans"],
            completion_ms=self._took["completion"],
        )


def live(
    folder: Path, *, days: int, series: int, sweeps: int, retention: dict[str, Any], tell: Any = lambda day: None
) -> tuple[list[Day], list[str]]:
    """Live through so many days; what stood at the end of each, and what was wrong at the end of any."""
    year = Year(folder, retention=retention)
    found, wrong = [], []
    try:
        for number in range(days):
            found.append(year.day(number, series=series, sweeps=sweeps))
            wrong += [f"day {number + 1}: {fault}" for fault in year.faults()]
            tell(found[-1])
    finally:
        year.close()
    return found, wrong
