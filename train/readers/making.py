"""Making a reader study from the cases of a pair store: acquired images, systems' answers, or both."""

import secrets
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from train.errors import TrainError
from train.evaluation.cases import EvaluationCase, StoreCases
from train.evaluation.systems import Candidate
from train.evaluation.viewer import Gallery, Layout
from train.readers.design import Scan, drawn_items, reading_order
from train.readers.study import (
    ACQUIRED,
    Design,
    Key,
    Reader,
    Shown,
    Study,
    images_folder,
    is_study,
    study_folder,
    write_study,
)

_LONGEST_SIDE, _MOST_SLICES = 512, 96


def make_study(
    cases: StoreCases,
    systems: Sequence[Candidate],
    folder: Path,
    *,
    design: Design,
    acquired: bool,
    title: str,
    readers: int,
    seed: int,
    scans: int | None = None,
    on_scan: Callable[[int, int], None] | None = None,
) -> Study:
    """Write a study of every phase of every case, or of ``scans`` of them drawn at random.

    What a store says was not measured is shown as the native scan in all images, so that it tells nothing. ``on_scan(done, of)`` is
    called after each scan.

    Raises
    ------
    TrainError
        ``study_exists``, ``study_too_small``.
    """
    if is_study(folder):
        raise TrainError(
            "study_exists", f"{folder} holds a reader study.", "Name another folder: answers belong to a key."
        )
    rng = np.random.default_rng(seed)
    shown = _labels(cases, systems, acquired=acquired, scans=scans, rng=rng)
    if not shown or min(map(len, shown.values())) < (2 if design == "pair" or acquired else 1):
        raise TrainError(
            "study_too_small",
            "A scan of the study would have nothing to be compared with.",
            "Name packages of the same phases: one beside the acquired images, or two against each other.",
        )
    items = drawn_items(shown, design=design, rng=rng)
    places: dict[Scan, list[tuple[str, int, str]]] = defaultdict(list)
    for name, (scan, labels) in items.items():
        places[scan] += [(name, place, label) for place, label in enumerate(labels)]
    study = study_folder(folder)
    if study.is_dir():  # of a killed call
        shutil.rmtree(study)
    sheets, patients = {}, {}
    by_label = {system.label: system for system in systems}
    for number, (scan, wanted) in enumerate(places.items(), start=1):
        case = cases.load(scan[0])
        patients[scan] = case.patient
        layout = Layout.of(case.source, longest_side=_LONGEST_SIDE, most_slices=_MOST_SLICES, margin=0.0)
        for label in shown[scan]:
            hu = _image(case, scan[1], by_label.get(label))
            for name, place, _ in (one for one in wanted if one[2] == label):
                Gallery(images_folder(study, name), layout).add(place, hu)
                sheets[name] = layout.sheets
        if on_scan is not None:
            on_scan(number, len(places))
    made = Study(
        title=title,
        design=design,
        acquired=acquired,
        items={name: sheets[name] for name in items},
        readers=tuple(
            Reader(code=secrets.token_hex(4), order=reading_order({n: s for n, (s, _) in items.items()}, rng=rng))
            for _ in range(readers)
        ),
    )
    key = Key(
        seed=seed,
        store_sha256=cases.describe()["store_sha256"],
        systems={system.label: system.identity for system in systems},
        items={
            name: Shown(case=scan[0], patient=patients[scan], phase=scan[1], labels=labels)
            for name, (scan, labels) in items.items()
        },
    )
    write_study(folder, made, key)
    return made


def _labels(
    cases: StoreCases, systems: Sequence[Candidate], *, acquired: bool, scans: int | None, rng: np.random.Generator
) -> Mapping[Scan, tuple[str, ...]]:
    """Scan → labels of what is shown of it."""
    every = [(name, phase) for name in cases.names for phase in cases.phases_of(name)]
    chosen = sorted(rng.permutation(len(every))[: scans or len(every)])
    return {
        every[place]: (
            *((ACQUIRED,) if acquired else ()),
            *(system.label for system in systems if not system.phases or every[place][1] in system.phases),
        )
        for place in chosen
    }


def _image(case: EvaluationCase, phase: str, system: Candidate | None) -> np.ndarray:
    """HU ``(D, H, W)`` of the acquired scan (``system=None``) or of a system's answer."""
    target = case.target(phase)
    if system is None:
        return target.hu
    answer = system.answer(case, target, phase).hu
    measured = case.valid(phase)
    return answer if measured is None else np.where(measured, answer, case.source.hu)
