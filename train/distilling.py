"""Answers of a package as targets: a store from which one network learns what an ensemble answers (Hinton et al. 2015,
arXiv 1503.02531, knowledge distillation).

The mean of several trainings may be nearer than each of them, and takes as many times as long; one network may learn of it. Its crops are
shown coarser, softer and noisier than what the teacher saw (Xie et al. 2020, arXiv 1911.04252, noisy student), and every case has every
phase, those that nobody scanned among them. What that gained and lost here: docs/results/real-pairs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from s2ldm_core.package import ModelPackage
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.fit.ancestry import taught_on
from train.fit.provenance import ANSWERED_BY, ANSWERS_TO, told_of
from train.store import Case, PairStore, has_case, write_case


def distill(
    teacher: ModelPackage,
    store: PairStore,
    output: Path,
    *,
    device: str = "auto",
    on_case: Callable[[str], None] = lambda name: None,
) -> int:
    """Write the cases of ``store`` into ``output`` with what ``teacher`` answers as their phases; how many were written.

    Noise that a case has apart is what the teacher sees once, and stays apart. Cases that ``output`` has already are passed over.

    Raises
    ------
    TrainError
        ``output_is_store``; ``teacher_grid`` when the store is on another grid than the teacher; ``answered_by_others`` when ``output``
        has cases that another package answered, ``case_remade`` when it has the answer to another case of the same name.
    PackageError
        The teacher was changed.
    """
    if output.resolve() == store.folder.resolve():
        raise TrainError(
            "output_is_store", f"The answers would take the place of the cases in {output}.", "Name another folder."
        )
    translator = Translator.load(teacher.path, device=device, refuse_answers=False)
    meta = translator.metadata
    if not np.allclose(meta.spacing_mm, store.spacing_mm, atol=1e-3):
        raise TrainError(
            "teacher_grid",
            f"{store.folder} is on another grid than {meta.name} {meta.version}.",
            "Prepare the store on the grid of the package.",
        )
    told = {teacher.identity: taught_on(meta)}
    asked = list(told_of(store))
    there = _answered(output)
    _refuse_others(
        there, by=told, to={name: digest for name, (digest, _) in zip(store.names, asked, strict=True)}, output=output
    )
    written = 0
    for number, (digest, about) in enumerate(asked):
        case = store[number]
        if case.name in there:
            continue
        write_case(
            output,
            case.name,
            spacing_mm=case.spacing_mm,
            native=case.native,
            changes={phase: _answer(translator, case, phase) for phase in meta.phases},
            noise=case.noise,
            labels=case.labels,
            organs=case.organs,
            patient=case.patient,
            split=case.split,
            fold=case.fold,
            about={**about, ANSWERED_BY: told, ANSWERS_TO: digest},
        )
        written += 1
        on_case(case.name)
    return written


def _answered(output: Path) -> dict[str, dict[str, Any]]:
    """What the cases of ``output`` say of themselves, those of other stores too."""
    if not (output.is_dir() and any(has_case(output, path.name) for path in output.iterdir())):
        return {}
    made = PairStore(output, split=None)
    return {name: about for name, (_, about) in zip(made.names, told_of(made), strict=True)}


def _refuse_others(there: dict[str, dict[str, Any]], *, by: dict[str, Any], to: dict[str, str], output: Path) -> None:
    for name, about in there.items():
        if about.get(ANSWERED_BY) != by:
            raise TrainError(
                "answered_by_others",
                f"{output} has cases that another than {', '.join(by)} answered, such as {name}.",
                "Name another folder, or the same package as before.",
            )
        if name in to and about.get(ANSWERS_TO) != to[name]:
            raise TrainError(
                "case_remade",
                f"{output / name} answers to another case than the store has under that name now.",
                "Remove that folder, so that the case is answered again, or name another output.",
            )


def _answer(translator: Translator, case: Case, phase: str) -> np.ndarray:
    """Change ``(D, H, W)`` HU."""
    hu = case.source_hu()
    dz, dy, dx = case.spacing_mm
    source = Volume(hu=hu, affine=np.diag([dx, dy, dz, 1.0]))
    return translator.translate(source, phase=phase).volume.hu - hu
