"""What a package answers to the cases of a store, and the error of that, kept on disk."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from s2ldm_core.body import body_mask
from s2ldm_core.files import atomic_file
from s2ldm_core.intensity import gate, unit_change_to_hu, window_to_unit
from s2ldm_core.memory import in_tiles_that_fit
from s2ldm_core.package import ModelPackage
from s2ldm_core.systems import How, System
from s2ldm_core.tissue_groups import UNNAMED, group_table
from train.crops import condition, shared_numbers
from train.store import Case, PairStore

NO_TISSUE = 255
_NOISE = (0.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One phase of one case; arrays ``(D, H, W)``, memory-mapped."""

    name: str
    patient: str
    phase: str
    source: np.ndarray
    """Window units, float16."""
    change: np.ndarray
    """As predicted; window units, float16."""
    error_hu: np.ndarray
    """Predicted minus true change, float16; NaN where nothing is judged: off the body, where translation changes nothing, and where the
    phase was not measured. Without either image's noise where the case has it apart."""
    labels: np.ndarray
    """uint8, the case's own."""
    groups: np.ndarray
    """``(256,)`` uint8: label to the number of its group in `s2ldm_core.tissue_groups.GROUPS`, or `NO_TISSUE`."""

    @property
    def tissue(self) -> np.ndarray:
        """uint8: the group of every voxel."""
        return self.groups[self.labels]


def answer_cases(
    package: ModelPackage, store: PairStore, folder: Path, *, device: str = "cpu", on_case: Callable[[str], None]
) -> list[Answered]:
    """Every phase that both have, in the order of the store; what lies in ``folder`` already is taken from there.

    A case whose noise is apart is seen with 0.5 to 2 times as much of it, drawn by the case's name.
    """
    system: System | None = None
    found = []
    for case in (store[i] for i in range(len(store))):
        for number, phase in enumerate(package.metadata.phases):
            if phase not in case.changes:
                continue
            path = (
                folder / package.metadata.weights_sha256[:12] / f"{case.name}-{store.digest_of(case)[:12]}-{phase}.npy"
            )
            if not path.is_file():
                system = system or package.build(device=device)
                arrays = _answer(system, package, case, phase=phase, number=number, device=device)
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(path) as file:
                    np.save(file, arrays, allow_pickle=False)
            arrays = np.load(path, mmap_mode="r", allow_pickle=False)
            source, change, error_hu = arrays
            labels = np.broadcast_to(np.uint8(0), source.shape) if case.labels is None else case.labels
            found.append(
                Answered(
                    name=case.name,
                    patient=case.patient,
                    phase=phase,
                    source=source,
                    change=change,
                    error_hu=error_hu,
                    labels=labels,
                    groups=_groups(case),
                )
            )
            on_case(f"{case.name} {phase}")
    return found


@torch.inference_mode()
def _answer(system: System, package: ModelPackage, case: Case, *, phase: str, number: int, device: str) -> np.ndarray:
    """``(3, D, H, W)`` float16: source, change, error."""
    window = package.metadata.window_hu
    native = np.asarray(case.native, np.float32)
    if case.noise is not None:
        seed = int.from_bytes(hashlib.sha256(case.name.encode()).digest()[:8], "big")
        native = native + np.asarray(case.noise, np.float32) * np.random.default_rng(seed).uniform(*_NOISE)
    source = torch.from_numpy(window_to_unit(native, window_hu=window).astype(np.float32))[None, None].to(device)
    # As the product asks for a phase: nobody tells it the seconds or the dose of a scan that is not there.
    known = condition([(number, {})]).to(source.device)
    change, _ = in_tiles_that_fit(
        lambda tile: system.answer(source, known, how=How(tile=tile)), smallest=system.traits.smallest_tile
    )
    change = change.float().cpu()
    error = unit_change_to_hu(change, window_hu=window)[0, 0].numpy() - np.asarray(case.changes[phase], np.float32)
    judged = body_mask(native, case.spacing_mm) & (gate(native, window_hu=window) > 0.5)
    if phase in case.valid:
        judged &= case.valid[phase]
    error[~judged] = np.nan
    return np.stack([source.cpu()[0, 0].numpy(), change[0, 0].numpy(), error]).astype(np.float16)


def _groups(case: Case) -> np.ndarray:
    if case.labels is None:
        return np.full(256, NO_TISSUE, np.uint8)
    groups = group_table().numpy()[shared_numbers(case.organs)]
    return np.where(groups == UNNAMED, NO_TISSUE, groups).astype(np.uint8)


def crops_of(answered: Answered, *, corner: tuple[int, int, int], size: tuple[int, int, int]) -> Iterator[np.ndarray]:
    """Source, change and error of a crop, float32; beyond the volume the edge goes on, and no error is known."""
    place = tuple(slice(o, o + s) for o, s in zip(corner, size, strict=True))
    for array in (answered.source, answered.change, answered.error_hu):
        part = array[place].astype(np.float32)
        missing = [(0, s - n) for s, n in zip(size, part.shape, strict=True)]
        if any(m for _, m in missing):
            if array is answered.error_hu:
                part = np.pad(part, missing, constant_values=np.nan)
            else:
                part = np.pad(part, missing, mode="edge")
        yield part
