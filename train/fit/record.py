"""A run's folder besides its checkpoint: resolved configuration, provenance, loss history, TensorBoard logs, warnings.

========================== =======================================================================================
``config.yaml``            every key, defaults included
``record.json``            data (digest, sources, licences) and, for every start of the run, versions, commit, device
``history.jsonl``          losses every ``log_steps`` and validation metrics, a line each
``logs/<stage>/``          the same for TensorBoard, with the validation pictures
``<stage>.safetensors``    averaged weights at the end of the stage; ``stages.jsonl`` its steps and minutes
========================== =======================================================================================
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from filelock import FileLock, Timeout
from pydantic import ValidationError
from torch.utils.tensorboard import SummaryWriter

from s2ldm_core.documents import read_document
from s2ldm_core.files import replace_text
from s2ldm_core.systems import System
from train.config import FitConfig
from train.errors import TrainError
from train.fit.provenance import describe_data, git_commit, versions
from train.store import PairStore

CONFIG, RECORD, HISTORY, STAGES = "config.yaml", "record.json", "history.jsonl", "stages.jsonl"


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Two processes that trained one run would each overwrite the other's checkpoints; a killed one leaves no lock.

    Raises
    ------
    TrainError
        ``run_busy``.
    """
    try:
        lock = FileLock(run / ".lock", timeout=0).acquire()
    except Timeout:
        raise TrainError(
            "run_busy",
            f"Another process is training {run}.",
            "Wait until it has ended, end it, or give this run another name.",
        ) from None
    with lock:
        yield


def check_data(run: Path, *, digest: str) -> None:
    """Refuse to go on with a run whose data were others.

    Raises
    ------
    TrainError
        ``data_changed``.
    """
    before = read_record(run).get("data", {})
    if before and before["digest"] != digest:
        raise TrainError(
            "data_changed",
            f"The training split of {before['store']} is not the one that the run in {run} began with "
            f"(digest {digest[:12]}…, recorded {before['digest'][:12]}…; {before['cases']} cases then).",
            "Bring the data back, or give the new run another name.",
        )


def read_record(run: Path) -> dict[str, Any]:
    """``record.json``; empty where there is none."""
    path = run / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_record(
    run: Path,
    *,
    config: FitConfig,
    system: System,
    store: PairStore,
    digest: str,
    device: str,
    processes: int,
    position: str,
    started_from: dict[str, Any] | None = None,
) -> list[str]:
    """Write configuration and provenance of this start of the run; returns what differs from the configuration before."""
    resolved = {**config.model_dump(mode="json"), "network": system.config.model_dump(mode="json")}
    changed = _differences(run, config)
    replace_text(run / CONFIG, yaml.safe_dump(resolved, sort_keys=False))
    record = read_record(run)
    data = {"store": str(store.folder), "digest": digest, "spacing_mm": list(store.spacing_mm), **describe_data(store)}
    record.setdefault("data", data if started_from is None else {**data, "started_from": started_from})
    start = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "position": position,
        "versions": versions(),
        "git_commit": git_commit(),
        "device": device,
        "processes": processes,
        "config_changed": changed,
    }
    replace_text(run / RECORD, json.dumps({**record, "starts": [*record.get("starts", []), start]}, indent=1))
    return changed


def resolved_config(run: Path) -> FitConfig:
    """The configuration that a run was last started with."""
    return FitConfig.model_validate(read_document(run / CONFIG).values)


class History:
    """Loss curves and metrics of one stage; what a killed run wrote beyond its checkpoint is dropped."""

    def __init__(self, run: Path, *, stage: str, step: int) -> None:
        self._path, self._stage = run / HISTORY, stage
        self._forget(step)
        self._writer = SummaryWriter(str(run / "logs" / stage), purge_step=step + 1)

    def add(self, kind: str, values: Mapping[str, float], *, step: int) -> None:
        """``kind``: ``train``, ``validation`` or ``warning``; non-finite values are kept as text."""
        line = {
            "stage": self._stage,
            "step": step,
            "kind": kind,
            **{k: v if np.isfinite(v) else str(v) for k, v in values.items()},
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def warn(self, code: str, sentence: str, *, step: int) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({"stage": self._stage, "step": step, "kind": "warning", "code": code, "sentence": sentence})
                + "\n"
            )
        self._writer.add_text(f"warning/{code}", sentence, step)

    def picture(self, name: str, image: np.ndarray, *, step: int) -> None:
        """``image``: ``(rows, columns, 3)`` uint8."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()

    def _forget(self, step: int) -> None:
        if not self._path.is_file():
            return
        lines = [
            line for line in self._path.read_text(encoding="utf-8").splitlines() if _before(line, self._stage, step)
        ]
        replace_text(self._path, "".join(line + "\n" for line in lines))


def stage_done(run: Path, *, stage: str, steps: int, minutes: float) -> None:
    """Note the end of a stage in ``stages.jsonl``, once even if a kill made it end twice."""
    path = run / STAGES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    lines = [line for line in lines if json.loads(line).get("stage") != stage]
    lines.append(json.dumps({"stage": stage, "steps": steps, "minutes": round(minutes, 2)}))
    replace_text(path, "".join(line + "\n" for line in lines))


def stages_done(run: Path) -> dict[str, tuple[int, float]]:
    """Stage → steps and minutes, of those that have ended."""
    path = run / STAGES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {one["stage"]: (int(one["steps"]), float(one["minutes"])) for one in map(json.loads, lines)}


def _before(line: str, stage: str, step: int) -> bool:
    try:
        item = json.loads(line)
    except json.JSONDecodeError:  # cut off by the kill
        return False
    return bool(item["stage"] != stage or item["step"] <= step)


def _differences(run: Path, config: FitConfig) -> list[str]:
    if not (run / CONFIG).is_file():
        return []
    try:
        before = _flat(resolved_config(run).model_dump(mode="json", exclude={"network"}))
    except ValidationError:
        return ["the whole file: the recorded one is not valid in this version"]
    now = _flat(config.model_dump(mode="json", exclude={"network"}))
    return [
        f"{key}: {before.get(key)} → {now.get(key)}" for key in sorted(before | now) if before.get(key) != now.get(key)
    ]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else None
    if items is None:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
