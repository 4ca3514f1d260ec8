"""``translate``: files without a network."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.output import stage_progress, stdout
from dicom_node.derive.forms import FORM_NAMES
from dicom_node.derive.marks import Mark
from dicom_node.phases import PHASES
from s2ldm_core import contrast_dose
from s2ldm_core.seconds import seconds_of

# typer takes a choice as an enumeration only; mypy cannot see the members of this one.
FormName = StrEnum("FormName", {name: name for name in (*FORM_NAMES, "nifti")})  # type: ignore[misc]


class Anatomy(StrEnum):
    """As a route's ``anatomy``."""

    torso = "torso"
    any = "any"


class EnhancementCheck(StrEnum):
    """As a route's ``enhancement_check``."""

    hu = "hu"
    tags = "tags"


class Handling(StrEnum):
    """As a route's ``tilt`` and ``irregular``."""

    refuse = "refuse"
    resample = "resample"


def _phase(name: str) -> str:
    if name not in PHASES and seconds_of(name) is None:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(PHASES)}, and no time such as 35s.")
    return name


def _number(value: float) -> float:
    if math.isnan(value):
        raise typer.BadParameter("nan is no number.")
    return value


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: s2ldm-node translate ncct-series/ arterial/ --phase arterial")(translate)


def translate(
    input_path: Annotated[
        Path,
        typer.Argument(metavar="INPUT", exists=True, help="Folder with a CT series, or NIfTI or MetaImage file."),
    ],
    output_path: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="Empty or new folder, or a NIfTI or MetaImage file.")
    ],
    phase: Annotated[
        str,
        typer.Option(
            metavar="|".join((*PHASES, "35s")),
            callback=_phase,
            help="Contrast phase to synthesise, or seconds after the injection where the model knows them.",
        ),
    ],
    dose: Annotated[
        float,
        typer.Option(
            "--contrast-dose",
            min=contrast_dose.LEAST,
            max=contrast_dose.MOST,
            callback=_number,
            help="Contrast medium as a part of what is usual in the model's training.",
        ),
    ] = 1.0,
    model: Annotated[str, typer.Option(help="Bundled package, or folder of a model package.")] = "demo",
    output: Annotated[
        FormName | None,
        typer.Option(help="Output form. Default: nifti for volume files, else sc.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="The same input, model, seed and device give the same voxels.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps.", show_default="the model's own")] = None,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Write the standard deviation of the error, too, where the model knows it."),
    ] = False,
    mark: Annotated[
        Mark, typer.Option(help="corner: SYNTHETIC and the phase in the pixels of DICOM output, off the body.")
    ] = Mark.CORNER,
    series: Annotated[
        str | None, typer.Option(help="Series Instance UID, if the folder holds several.", show_default=False)
    ] = None,
    anatomy: Annotated[
        Anatomy, typer.Option(help="torso: refuse a DICOM series of anything else. any: do not look.")
    ] = Anatomy.torso,
    enhancement_check: Annotated[
        EnhancementCheck, typer.Option(help="Refuse enhanced series by tags and HU, or by tags alone.")
    ] = EnhancementCheck.hu,
    tilt: Annotated[
        Handling, typer.Option(help="Gantry tilt: refuse, or resample for the model and back onto the slices.")
    ] = Handling.refuse,
    irregular: Annotated[
        Handling, typer.Option(help="Uneven slice spacing: refuse, or resample, likewise.")
    ] = Handling.refuse,
) -> None:
    """Translate one series or volume file, and write the result."""
    from dicom_node.convert import translate_path

    with stage_progress() as progress:
        done = translate_path(
            input_path,
            output_path,
            phase=phase,
            contrast_dose=dose,
            model=model,
            output_form=None if output is None else output.value,
            device=device,
            seed=seed,
            steps=steps,
            uncertainty=uncertainty,
            series_uid=series,
            mark=mark,
            anatomy=anatomy.value,
            enhancement_check=enhancement_check.value,
            tilt=tilt.value,
            irregular=irregular.value,
            progress=progress,
        )
    folder = {path.parent for path in done.paths if output_path in path.parents}
    several = f"{len(done.paths)} files in {output_path}" if folder else " and ".join(map(str, done.paths))
    written = done.paths[0] if len(done.paths) == 1 else several
    console = stdout()
    console.print(
        f"{done.translation.phase}, {done.translation.model}: {written}", markup=False, highlight=False, soft_wrap=True
    )
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in done.translation.seconds.items())
    console.print(f"seconds: {seconds}", markup=False, highlight=False, soft_wrap=True)
