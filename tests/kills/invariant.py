"""What must hold when everything has come to rest, asked of the disk, the catalog and the destination."""

import hashlib
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicom_node.receive.recovery import read_received
from tests.kills.sender import Sending
from tests.kills.world import Accepted, World

FINAL = ("done", "refused", "failed", "cancelled")
_FINAL_DELIVERIES = ("done", "failed", "cancelled")


@dataclass(kw_only=True)
class Findings:
    """What a check has found: how series ended, what came twice for want of an answer's row, and what is wrong."""

    ended: Counter[str] = field(default_factory=Counter)
    resent: int = 0
    wrong: list[str] = field(default_factory=list)


def unrest(world: World, sendings: Iterable[Sending]) -> dict[str, int]:
    """How much is still under way, by kind; empty when everything is at rest."""
    look = world.look
    waiting = {
        "series being sent": sum(not one.is_over for one in sendings),
        "series receiving": look.number("SELECT count(*) FROM series WHERE state <> 'complete'"),
        "jobs": sum(state not in FINAL for (state,) in look.rows("SELECT state FROM jobs")),
        "deliveries": sum(state not in _FINAL_DELIVERIES for (state,) in look.rows("SELECT state FROM deliveries")),
    }
    return {kind: count for kind, count in waiting.items() if count}


def check_series(world: World, sendings: Sequence[Sending]) -> Findings:
    """Look at series that have come to rest."""
    findings = Findings()
    accepted = world.accepted()
    for sending in sendings:
        findings.ended[_check_one(world, sending, accepted, findings.wrong)] += 1
    return findings


def check_rest(world: World) -> Findings:
    """Look at everything that the destination has got, and at the disk."""
    findings = Findings()
    _check_destination(world, findings)
    _check_disk(world, findings.wrong)
    return findings


def _check_one(world: World, sending: Sending, accepted: Mapping[str, Accepted], wrong: list[str]) -> str:
    """One series: its images are held as they were sent, its job has ended; how."""
    uid = sending.series.uid
    found = world.look.rows("SELECT id, state, instance_count FROM series WHERE series_instance_uid = ?", uid)
    if len(found) != 1:
        wrong.append(f"series {uid}: {len(found)} rows")
        return "lost"
    key, state, count = found[0]
    if state != "complete" or count != len(sending.series.images):
        wrong.append(f"series {uid}: {state} with {count} images")
    jobs = world.look.rows(
        "SELECT id, state, instance_count, reason_code, superseded_by, derived_series_instance_uid FROM jobs"
        " WHERE series_id = ? ORDER BY id",
        key,
    )
    _check_images(world, sending, key, over=all(job[1] in FINAL for job in jobs), wrong=wrong)
    if not jobs:
        wrong.append(f"series {uid}: no job")
        return "lost"
    *earlier, (job_id, state, count, reason, superseded_by, _) = jobs
    if superseded_by is not None:
        wrong.append(f"series {uid}: its last job does not stand for it: {jobs}")
    for _, ended, part, _, replaced_by, _ in earlier:
        # Of a part of its images, as its sender was away for longer than the node waits for one.
        if part >= len(sending.series.images) or (ended == "done" and replaced_by is None):
            wrong.append(f"series {uid}: translated twice though nothing was missing: {jobs}")
    if state != "done":
        if not reason:
            wrong.append(f"series {uid}: {state} without a reason")
        return f"{state}: {reason}"
    if count != len(sending.series.images):
        wrong.append(f"series {uid}: done with {count} images")
    _check_delivered(world, job_id, count, accepted, wrong)
    return "done" if len(jobs) == 1 else "done after an earlier part"


def _check_images(world: World, sending: Sending, key: int, *, over: bool, wrong: list[str]) -> None:
    rows = world.look.rows("SELECT sop_instance_uid, digest, path, size FROM instances WHERE series_id = ?", key)
    held: dict[str, tuple[Any, ...]] = {row[0]: row[1:] for row in rows}
    for image in sending.series.images:
        if image.uid not in sending.acknowledged:
            continue
        if image.uid not in held:
            wrong.append(f"{image.uid}: acknowledged, and has no row")
            continue
        digest, path, size = held[image.uid]
        if digest != image.digest:
            wrong.append(f"{image.uid}: another content is recorded")
        if path is None:
            if not over:
                wrong.append(f"{image.uid}: acknowledged, and removed before its series ended")
        elif _digest(Path(path), size) != image.digest and not _removed_meanwhile(world, image.uid):
            wrong.append(f"{image.uid}: acknowledged, and not whole on disk")


def _removed_meanwhile(world: World, uid: str) -> bool:
    """Whether retention has come by since the row was read."""
    return world.look.rows("SELECT path FROM instances WHERE sop_instance_uid = ?", uid) == [(None,)]


def _check_delivered(world: World, job_id: int, count: int, accepted: Mapping[str, Accepted], wrong: list[str]) -> None:
    states = [state for (state,) in world.look.rows("SELECT state FROM deliveries WHERE job_id = ?", job_id)]
    if states != ["done"]:
        wrong.append(f"job {job_id}: done, its deliveries are {states}")
    derived = world.look.rows(
        "SELECT sop_instance_uid FROM derived_instances WHERE job_id = ? AND rejects_job IS NULL", job_id
    )
    there = sum(uid in accepted for (uid,) in derived)
    if not len(derived) == there == count:
        wrong.append(f"job {job_id}: {count} images, {len(derived)} derived, {there} of them at the destination")


def _check_destination(world: World, findings: Findings) -> None:
    """Nothing came again but what had no row when something was killed; the same UID always had the same content."""
    for uid, accepted in world.accepted().items():
        findings.resent += accepted.times - 1
        known_before = [count for count in range(1, accepted.times) if (uid, count) not in world.unrecorded]
        if known_before:
            findings.wrong.append(f"{uid}: accepted {accepted.times} times, though the answer had its row")
        if accepted.contents != 1:
            findings.wrong.append(f"{uid}: {accepted.contents} contents at the destination")
    known = {uid for (uid,) in world.look.rows("SELECT sop_instance_uid FROM derived_instances")}
    strangers = [uid for uid in world.accepted() if uid not in known]
    if strangers:
        findings.wrong.append(f"{len(strangers)} instances at the destination that no job has derived: {strangers[:3]}")


def _check_disk(world: World, wrong: list[str]) -> None:
    """No half file has a whole one's name."""
    named = {path for (path,) in world.look.rows("SELECT path FROM instances WHERE path IS NOT NULL")}
    for path in world.data_dir.glob("incoming/*/*.dcm"):
        if str(path) in named:
            continue
        with suppress(FileNotFoundError):  # removed since the folder was listed
            try:
                read_received(path)
            except FileNotFoundError:
                raise
            except Exception as error:  # noqa: BLE001 (whatever it is, the file is not whole)
                wrong.append(f"{path.name}: half a file ({type(error).__name__})")


def leftovers(world: World) -> dict[str, int]:
    """What kills have left in the spool for the node to take away or to take up, by kind."""
    named = {path for (path,) in world.look.rows("SELECT path FROM instances WHERE path IS NOT NULL")}
    return {
        "parts": sum(1 for _ in world.data_dir.glob("incoming/*/*.part")),
        "without a row": sum(str(path) not in named for path in world.data_dir.glob("incoming/*/*.dcm")),
    }


def _digest(path: Path, size: int) -> str:
    """SHA-256 of a file's data set; empty if it is not there or has another size."""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    if len(content) != size:
        return ""
    # Preamble, DICM, and the group length of what comes before the data set (PS3.10 7.1).
    (length,) = struct.unpack_from("<L", content, 140)
    return hashlib.sha256(content[144 + length :]).hexdigest()
