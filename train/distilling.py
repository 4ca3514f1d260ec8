"""Answers of packages as targets: a store from which one network learns what the mean of several answers (Hinton et al. 2015,
arXiv 1503.02531, knowledge distillation).

The mean of several trainings may be nearer than each of them, and takes as many times as long; one network may learn of it. Its crops are
shown coarser, softer and noisier than what the teachers saw (Xie et al. 2020, arXiv 1911.04252, noisy student), and every case has every
phase, those that nobody scanned among them. What that gained and lost here: docs/results/real-pairs.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from s2ldm_core.package import ModelPackage
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.fit.ancestry import taught_on
from train.fit.provenance import ANSWERED_BY, told_of
from train.store import Case, PairStore, has_case, write_case


def distill(
    teachers: Sequence[ModelPackage],
    store: PairStore,
    output: Path,
    *,
    device: str = "auto",
    on_case: Callable[[str], None] = lambda name: None,
) -> int:
    """Write the cases of ``store`` into ``output`` with the mean of what ``teachers`` answer as their phases; how many were written.

    A teacher that is named twice counts twice. Noise that a case has apart is what the teachers see once, and stays apart. Cases that
    ``output`` has already are passed over.

    Raises
    ------
    TrainError
        ``output_is_store``; ``teachers_differ`` when they have other phases than one another; ``teacher_grid`` when the store is on
        another grid than theirs; ``answered_by_others`` when ``output`` has cases that others answered.
    PackageError
        A teacher was changed.
    """
    if output.resolve() == store.folder.resolve():
        raise TrainError(
            "output_is_store", f"The answers would take the place of the cases in {output}.", "Name another folder."
        )
    weights = Counter(teacher.identity for teacher in teachers)
    translators = {
        teacher.identity: Translator.load(teacher.path, device=device, refuse_answers=False)
        for teacher in {one.identity: one for one in teachers}.values()
    }
    first, *others = (translator.metadata for translator in translators.values())
    for other in others:
        if other.phases != first.phases:
            raise TrainError(
                "teachers_differ",
                f"{other.name} {other.version} answers other phases than {first.name} {first.version}.",
                "Name packages of the same phases.",
            )
    for meta in (first, *others):
        if not np.allclose(meta.spacing_mm, store.spacing_mm, atol=1e-3):
            raise TrainError(
                "teacher_grid",
                f"{store.folder} is on another grid than {meta.name} {meta.version}.",
                "Prepare the store on the grid of the packages.",
            )
    told = {
        f"{count} of {len(teachers)}: {identity}": taught_on(translators[identity].metadata)
        for identity, count in weights.items()
    }
    names = [name for name in store.names if has_case(output, name)]
    if names and any(about.get(ANSWERED_BY) != told for _, about in told_of(PairStore(output, split=None))):
        raise TrainError(
            "answered_by_others",
            f"{output} has cases that others than {', '.join(told)} answered.",
            "Name another folder, or the same packages as before.",
        )
    written = 0
    for number, (_, about) in enumerate(told_of(store)):
        case = store[number]
        if case.name in names:
            continue
        changes = {phase: _mean_answer(translators, weights, case, phase) for phase in first.phases}
        write_case(
            output,
            case.name,
            spacing_mm=case.spacing_mm,
            native=case.native,
            changes=changes,
            noise=case.noise,
            labels=case.labels,
            organs=case.organs,
            patient=case.patient,
            split=case.split,
            fold=case.fold,
            about={**about, ANSWERED_BY: told},
        )
        written += 1
        on_case(case.name)
    return written


def _mean_answer(translators: dict[str, Translator], weights: Counter[str], case: Case, phase: str) -> np.ndarray:
    """Change ``(D, H, W)`` HU."""
    hu = case.source_hu()
    dz, dy, dx = case.spacing_mm
    source = Volume(hu=hu, affine=np.diag([dx, dy, dz, 1.0]))
    total = np.zeros(hu.shape, np.float32)
    for identity, translator in translators.items():
        total += weights[identity] / weights.total() * (translator.translate(source, phase=phase).volume.hu - hu)
    return total
