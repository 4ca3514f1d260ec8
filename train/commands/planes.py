"""``s2ldm-train planes``."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console

from s2ldm_core.contrast_dose import LEAST, MOST, NAME
from train.commands.named import labelled
from train.errors import TrainError

if TYPE_CHECKING:
    from s2ldm_core.volume import Volume
    from train.evaluation.cases import EvaluationCase


def planes(
    packages: Annotated[list[str], typer.Argument(help="Packages as LABEL=FOLDER, or NAME of a bundled one.")],
    output: Annotated[Path, typer.Option(help="Picture: a .jpg or .png file.")],
    scan: Annotated[
        Path | None, typer.Option(help="Native CT: folder with a DICOM series, NIfTI or MetaImage.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Pair store of the case.")] = None,
    case: Annotated[str | None, typer.Option(help="Case of the store; its real phases are shown as well.")] = None,
    phase: Annotated[
        list[str] | None,
        typer.Option(help="Phase, or time such as 50s; may be repeated.", show_default="those of the packages"),
    ] = None,
    contrast_dose: Annotated[
        list[float] | None,
        typer.Option(
            help="Answer with so much contrast medium as well, as a part of the usual; may be repeated.",
            min=LEAST,
            max=MOST,
        ),
    ] = None,
    window: Annotated[tuple[float, float], typer.Option(help="Black and white, HU.")] = (-130.0, 350.0),
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Below an answer, how wrong the package says that it may be (a standard deviation) and, where the real phase is known, "
            "how wrong it is; white: 100 HU.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Draw a scan and what packages make of it in three planes, a row each: an answer is to be looked at, not only measured.

    Example: s2ldm-train planes demo --scan series/ --phase arterial --phase 50s --output planes.jpg
    """
    from s2ldm_core import Translator
    from s2ldm_core.sampling import OWN, Sampling
    from train.evaluation.planes import DEVIATION_HU, draw_planes

    if output.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise TrainError("planes_output", f"{output} is no picture that can be written.", "Name a .jpg or .png file.")
    if not window[0] < window[1]:
        raise TrainError(
            "window_empty", f"The window {window[0]:g} {window[1]:g} is empty.", "Give the lower HU first."
        )
    if any(map(math.isnan, contrast_dose or ())):
        raise TrainError("bad_value", "nan is no contrast dose.", f"Give {LEAST:g} to {MOST:g}.")
    native, pair = _shown(scan, store, case)
    translators = {
        label: Translator.load(folder, device=device, refuse_answers=False) for label, folder in map(labelled, packages)
    }
    asked = phase or list(dict.fromkeys(p for one in translators.values() for p in one.metadata.phases))
    sampling = Sampling(kind="predicted") if uncertainty else OWN
    rows: dict[str, Volume] = {"native": native}
    deviations: set[str] = set()
    for one in asked:
        if pair is not None and one in pair.phases:
            rows[f"{one}, real"] = pair.target(one)
        answers = {label: known for label, known in translators.items() if known.metadata.offers(one)}
        if not answers:
            offered = "; ".join(f"{label} knows {other.metadata.offered}" for label, other in translators.items())
            raise TrainError("planes_phase", f"No package can be asked for {one}: {offered}.", "Give another --phase.")
        for (label, known), dose in product(answers.items(), dict.fromkeys((1.0, *(contrast_dose or ())))):
            answer = known.translate(native, phase=one, values={NAME: dose}, sampling=sampling)
            title = f"{one}, {label}" if dose == 1.0 else f"{one}, {label}, contrast dose {dose:g}"
            rows[title] = answer.volume
            if answer.spread is None:
                continue
            off = {"may be": answer.spread.hu, **_error(answer.volume, one, pair)}
            below = {f"{title}: {how} off by": native.with_hu(hu) for how, hu in off.items()}
            rows |= below
            deviations |= below.keys()
    output.parent.mkdir(parents=True, exist_ok=True)
    draw_planes(rows, window_hu=window, windows_hu=dict.fromkeys(deviations, DEVIATION_HU)).save(output, quality=85)
    Console(stderr=True).print(f"picture: {output}", markup=False, soft_wrap=True)


def _error(answer: Volume, phase: str, pair: EvaluationCase | None) -> dict[str, np.ndarray]:
    """How far ``answer`` is from the real phase, HU, and nothing where that was not measured; empty where there is none."""
    if pair is None or phase not in pair.phases:
        return {}
    off = np.abs(answer.hu - pair.target(phase).hu)
    measured = pair.valid(phase)
    return {"is": off if measured is None else np.where(measured, off, 0.0)}


def _shown(scan: Path | None, store: Path | None, name: str | None) -> tuple[Volume, EvaluationCase | None]:
    """The native scan, and the case that it is of."""
    from s2ldm_core import read_volume
    from train.evaluation.cases import StoreCases

    if scan is not None and store is None:
        return read_volume(scan), None
    if store is None or scan is not None:
        raise TrainError("planes_of_what", "One scan is drawn.", "Give --scan, or --store and --case.")
    cases = StoreCases(store, split=None)
    if name not in cases.names:
        raise TrainError(
            "planes_case",
            f"{store} has no case {name!r}." if name else "No case is named.",
            f"Give --case NAME, such as {cases.names[0]}.",
        )
    case = cases.load(name)
    return case.source, case
