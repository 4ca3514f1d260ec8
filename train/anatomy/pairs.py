"""Pairs made from subjects: each seed is one made-up patient with one subject's anatomy."""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from s2ldm_core.body import body_box
from s2ldm_core.phantom import PHASE_SECONDS
from train.anatomy.files import SubjectFiles, find_subjects, phase_shown, read_subject
from train.anatomy.real import Dose
from train.anatomy.scan import AnatomyScan, Mode, organ_ids
from train.errors import TrainError
from train.phantoms import PhantomGrid
from train.processes import in_processes
from train.store import has_case, write_case

Modes = Literal["both", "painted", "simulated", "unenhanced"]
_SIMULATED_SHARE = 0.6


def case_name(seed: int) -> str:
    return f"anatomy-{seed:06d}"


def make_anatomy_store(
    folder: Path,
    *,
    anatomy: Path,
    seeds: Iterable[int],
    phases: tuple[str, ...],
    grid: PhantomGrid | None = None,
    workers: int = 1,
    subjects: tuple[str, ...] = (),
    modes: Modes = "both",
    dose: Dose = "scanned",
) -> Iterator[str]:
    """Make the missing cases of ``seeds`` in ``workers`` processes; yields the name of each as it is complete.

    subjects : names of the subjects to use; one named twice comes twice as often. Empty: all of them.
    modes : ``simulated`` pairs need a subject with a native CT; ``both`` makes them of six in ten of such a subject's cases;
        ``unenhanced`` pairs are made of the subjects with a contrast CT of one of ``phases``, in that phase, and of no other.
    dose : of the target of ``unenhanced`` pairs: as it was scanned, or a usual one, which alone a native scan can tell of.

    Raises
    ------
    TrainError
        ``no_contrast_ct``, ``anatomy_missing``, ``subject_unknown``, ``phase_unknown`` or ``anatomy_unreadable``.
    """
    known = {files.name: files for files in find_subjects(anatomy)}
    unknown = [name for name in subjects if name not in known]
    if unknown:
        raise TrainError(
            "subject_unknown", f"{anatomy} has no subject {', '.join(unknown)}.", f"It has: {', '.join(sorted(known))}."
        )
    chosen = tuple(known[name] for name in subjects) or tuple(known.values())
    wrong = [phase for phase in phases if phase not in PHASE_SECONDS or phase == "native"]
    if wrong or not phases:
        raise TrainError(
            "phase_unknown",
            f"There is no contrast phase {', '.join(wrong)!r}.",
            "Choose from arterial, venous, delayed.",
        )
    if modes == "unenhanced":
        chosen = _enhanced(chosen, phases, named=bool(subjects))
    missing = [seed for seed in seeds if not has_case(folder, case_name(seed))]
    # A subject's seeds one after the other, so that a process reads it once.
    ordered = sorted(missing, key=lambda seed: (_pick(seed, len(chosen)), seed))
    make = partial(_make_case, folder, phases=phases, grid=grid or PhantomGrid(), modes=modes, dose=dose)
    return (
        name for _, name in in_processes(make, [(seed, chosen[_pick(seed, len(chosen))]) for seed in ordered], workers)
    )


def _enhanced(chosen: tuple[SubjectFiles, ...], phases: tuple[str, ...], *, named: bool) -> tuple[SubjectFiles, ...]:
    """The subjects with a contrast CT of one of ``phases``; one that was asked for by name must have it."""
    with_scan = {files.name for files in set(chosen) if phase_shown(files) in phases}
    without = sorted({files.name for files in chosen} - with_scan)
    if not with_scan or (named and without):
        raise TrainError(
            "no_contrast_ct",
            f"There is no contrast CT ({', '.join(phases)}) on the grid of the label map of {', '.join(without)}.",
            "Give subjects with a CT in which the labelled arteries are bright, or choose other --phases or another of --modes.",
        )
    return tuple(files for files in chosen if files.name in with_scan)


def _pick(seed: int, count: int) -> int:
    return int(np.random.default_rng((seed, 3)).integers(count))


def _make_case(
    folder: Path, one: tuple[int, SubjectFiles], *, phases: tuple[str, ...], grid: PhantomGrid, modes: Modes, dose: Dose
) -> str:
    seed, files = one
    subject = read_subject(files)
    rng = np.random.default_rng((seed, 4))
    slices = int(rng.integers(grid.slices[0], grid.slices[1] + 1))
    draw = float(rng.random())
    mode: Mode = "painted"
    if subject.ct_hu is not None and (modes == "simulated" or (modes == "both" and draw < _SIMULATED_SHARE)):
        mode = "simulated"
    elif modes == "unenhanced":
        mode = "unenhanced"
    if subject.scan_phase is not None and mode == "unenhanced":
        phases = (subject.scan_phase,)
    scan = AnatomyScan(
        subject, seed=seed, mode=mode, shape=(slices, *grid.matrix), spacing_mm=grid.spacing_mm, dose=dose
    )
    native = scan.native_hu()
    box = body_box(native, grid.spacing_mm)
    noise = scan.noise_hu()
    valid = scan.valid()
    name = case_name(seed)
    real = {} if mode != "unenhanced" else {"real_phase": subject.scan_phase, "dose": round(scan.dose, 3)}
    write_case(
        folder,
        name,
        spacing_mm=grid.spacing_mm,
        native=native[box],
        changes={phase: scan.change_hu(phase)[box] for phase in phases},
        noise=None if noise is None else noise[box],
        labels=scan.labels[box],
        valid=None if valid is None else dict.fromkeys(phases, valid[box]),
        organs=organ_ids([scan.labels[box]]),
        patient=f"anatomy-of-{files.patient or files.name}",
        about={"anatomy": files.name, "licence": files.licence, "mode": mode, "seed": seed, **real},
    )
    return name


def sources(store: Path) -> list[dict[str, object]]:
    """What a pair store was made from: each subject's folder name, licence, and number of cases of each mode."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for path in sorted(store.glob("*/case.json")):
        about = json.loads(path.read_text(encoding="utf-8")).get("about", {})
        if "anatomy" in about:
            counts = found.setdefault((str(about["anatomy"]), str(about["licence"])), {})
            counts[str(about["mode"])] = counts.get(str(about["mode"]), 0) + 1
    return [{"anatomy": name, "licence": licence, "cases": counts} for (name, licence), counts in sorted(found.items())]
