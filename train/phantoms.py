"""Pair stores made from the digital torso phantom: any number of patients, the same anatomy in every phase."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from s2ldm_core.body import body_box
from s2ldm_core.phantom import ORGANS, PHASE_SECONDS, Phantom
from s2ldm_core.volume import Volume
from train.processes import in_processes
from train.store import has_case, write_case

HELD_OUT = 100_000
"""Seeds from here on are never trained on: evaluation draws from them."""


@dataclass(frozen=True, kw_only=True)
class PhantomGrid:
    """The grid on which training phantoms are sampled; the number of slices varies with the seed."""

    spacing_mm: tuple[float, float, float] = (3.0, 1.5, 1.5)
    matrix: tuple[int, int] = (288, 288)
    slices: tuple[int, int] = (56, 150)


def case_name(seed: int) -> str:
    return f"phantom-{seed:06d}"


def make_store(
    folder: Path,
    *,
    seeds: Iterable[int],
    phases: tuple[str, ...],
    times: int = 0,
    grid: PhantomGrid | None = None,
    workers: int = 1,
    breathing_mm: float = 0.0,
) -> Iterator[str]:
    """Make the missing cases of ``seeds`` in ``workers`` processes; yields the name of each as it is complete.

    ``times``: at so many other seconds as well, of which each belongs to the nearest of ``phases``.
    ``breathing_mm``: as in `write_dicom`, and left as it is: pairs that nobody registered.
    """
    missing = [seed for seed in seeds if not has_case(folder, case_name(seed))]
    make = partial(
        _make_case, folder, phases=phases, times=times, grid=grid or PhantomGrid(), breathing_mm=breathing_mm
    )
    return (name for _, name in in_processes(make, missing, workers))


def other_times(seed: int, *, phases: tuple[str, ...], times: int) -> dict[str, float]:
    """``times`` seconds, evenly spread over their logarithm, that a patient is scanned at beside its phases, by name in the store."""
    nominal = {phase: PHASE_SECONDS[phase] for phase in phases}
    low, high = np.log(0.5 * min(nominal.values())), np.log(1.4 * max(nominal.values()))
    rng = np.random.default_rng((seed, 3))
    found = {}
    for number in range(times):
        seconds = round(float(np.exp(low + (high - low) * (number + rng.random()) / times)), 1)
        nearest = min(nominal, key=lambda phase: abs(np.log(seconds / nominal[phase])))
        found[f"{nearest}@{seconds:g}s"] = seconds
    return found


def _make_case(
    folder: Path, seed: int, *, phases: tuple[str, ...], times: int, grid: PhantomGrid, breathing_mm: float
) -> str:
    phantom = _phantom(seed, grid)
    native = phantom.hu("native")
    box = body_box(native, grid.spacing_mm)
    noise = phantom.hu("native", noise_seed=seed) - native
    seconds = {phase: at for phase in phases if (at := phantom.seconds(phase)) is not None}
    seconds |= other_times(seed, phases=phases, times=times)
    depths = _depths(seed, tuple(seconds), breathing_mm)
    changes = {phase: (phantom.hu(at, breathing=depths[phase]) - native)[box] for phase, at in seconds.items()}
    name = case_name(seed)
    write_case(
        folder,
        name,
        spacing_mm=grid.spacing_mm,
        native=native[box],
        noise=noise[box],
        changes=changes,
        labels=phantom.labels[box],
        organs=ORGANS,
        seconds=seconds,
        about={"seed": seed, **({"breathing_mm": depths} if breathing_mm else {})},
    )
    return name


def write_dicom(
    folder: Path,
    *,
    seeds: Iterable[int],
    phases: tuple[str, ...],
    grid: PhantomGrid | None = None,
    workers: int = 1,
    breathing_mm: float = 0.0,
) -> Iterator[str]:
    """Write each patient's native scan and ``phases`` as CT series, ``<folder>/<case>/<phase>/``; yields the cases' names.

    Beside each series lie its organs, ``labels.nii.gz`` and ``labels.json``, which `train.prepare` and `train.evaluation` read.
    ``breathing_mm``: in every contrast phase the diaphragm stands between a quarter and all of this lower than in the native scan.
    """
    missing = [seed for seed in seeds if not (folder / case_name(seed) / ".complete").exists()]
    make = partial(_write_dicom_case, folder, phases=phases, grid=grid or PhantomGrid(), breathing_mm=breathing_mm)
    return (name for _, name in in_processes(make, missing, workers))


def _write_dicom_case(
    folder: Path, seed: int, *, phases: tuple[str, ...], grid: PhantomGrid, breathing_mm: float
) -> str:
    from s2ldm_core.phantom.dicom import write_series  # pydicom is needed for this form only

    phantom = _phantom(seed, grid)
    for number, (phase, depth) in enumerate({"native": 0.0, **_depths(seed, phases, breathing_mm)}.items()):
        scan = folder / case_name(seed) / phase
        write_series(phantom, scan, phase=phase, noise_seed=10 * seed + number, breathing=depth)
        write_labels(phantom, scan, breathing=depth)
    (folder / case_name(seed) / ".complete").touch()
    return case_name(seed)


def _depths(seed: int, phases: tuple[str, ...], breathing_mm: float) -> dict[str, float]:
    """How much lower the diaphragm stands in each contrast phase, mm."""
    shares = np.random.default_rng((seed, 2)).uniform(0.25, 1.0, len(phases))
    return {phase: float(breathing_mm * share) for phase, share in zip(phases, shares, strict=True)}


def write_labels(phantom: Phantom, folder: Path, *, breathing: float = 0.0) -> None:
    """Write a phase's organs as ``labels.nii.gz`` (LPS, the grid of its series) and ``labels.json`` (organ → value)."""
    import SimpleITK as sitk  # needed for this form only

    from train.prepare.images import image_of

    values = phantom.moved_labels(breathing)
    sitk.WriteImage(
        image_of(Volume(hu=values, affine=phantom.affine), values), str(folder / "labels.nii.gz"), useCompression=True
    )
    present = {name: value for name, value in ORGANS.items() if (values == value).any()}
    (folder / "labels.json").write_text(json.dumps(present, indent=1), encoding="utf-8")


def _phantom(seed: int, grid: PhantomGrid) -> Phantom:
    slices = int(np.random.default_rng((seed, 1)).integers(grid.slices[0], grid.slices[1] + 1))
    return Phantom(seed=seed, matrix=grid.matrix, slices=slices, spacing_mm=grid.spacing_mm)
