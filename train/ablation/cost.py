"""What an answer costs: parameters, seconds and memory of one volume, each package in a process of its own that does nothing else."""

import json
import resource
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from s2ldm_core.files import replace_text
from s2ldm_core.volume import Volume

_FILE = "costs.json"
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Cost(BaseModel):
    """Of one package on one volume."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: int
    """That ship."""
    seconds: float
    """Wall time of the translation, everything loaded before."""
    processor_seconds: float | None = None
    """Of all threads: unlike the wall time, hardly longer where others compute beside it. ``None``: an older version did not look."""
    memory_gib: float
    """What the process grew by meanwhile; on a GPU the most that was allocated there."""


class CostSheet:
    """``<folder>/costs.json``: costs by the digest of a run."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        found = json.loads(self._path.read_text(encoding="utf-8")) if self._path.is_file() else {}
        self._costs = {digest: Cost.model_validate(cost) for digest, cost in found.items()}

    @property
    def costs(self) -> Mapping[str, Cost]:
        return self._costs

    def add(self, digest: str, cost: Cost) -> None:
        """Take ``cost`` in and write the file."""
        self._costs[digest] = cost
        self._path.parent.mkdir(parents=True, exist_ok=True)
        plain = {key: value.model_dump() for key, value in self._costs.items()}
        replace_text(self._path, json.dumps(plain, indent=1, sort_keys=True) + "\n")


def cost_of(package: Path, volume: Volume, *, phase: str, device: str = "auto", threads: int | None = None) -> Cost:
    """Translate ``volume`` once with ``package`` in a fresh process of so many threads (``None``: PyTorch's own number)."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, package, volume.hu, volume.affine, phase, device, threads).result()


def _measured(package: Path, hu: np.ndarray, affine: np.ndarray, phase: str, device: str, threads: int | None) -> Cost:
    import torch

    from s2ldm_core.package import ModelPackage
    from s2ldm_core.translator import Translator

    if threads is not None:
        torch.set_num_threads(threads)
    translator = Translator.load(package, device=device, refuse_answers=False)
    # A few slices first: what is compiled, loaded or allocated once is no cost of a volume.
    translator.translate(Volume(hu=hu[:8], affine=affine), phase=phase)
    on_gpu = translator.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(translator.device)
    forget_peak()
    before, began, worked = peak_gib(), time.perf_counter(), time.process_time()
    translator.translate(Volume(hu=hu, affine=affine), phase=phase)
    seconds, processor_seconds = time.perf_counter() - began, time.process_time() - worked
    memory = torch.cuda.max_memory_allocated(translator.device) / 2**30 if on_gpu else peak_gib() - before
    parameters = ModelPackage.load(package).build(device=torch.device("cpu")).count_parameters()
    return Cost(
        parameters=parameters,
        seconds=round(seconds, 3),
        processor_seconds=round(processor_seconds, 3),
        memory_gib=round(memory, 3),
    )


def forget_peak() -> None:
    """Have `peak_gib` count from what this process holds now, where the system can: Linux, by proc(5)."""
    with suppress(OSError):
        _CLEAR.write_text("5")


def peak_gib() -> float:
    """The most memory that this process has held.

    Linux hands ``ru_maxrss`` on from the process that started this one, and it says nothing of what is smaller than that.
    """
    if _STATUS.is_file():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # macOS counts bytes
