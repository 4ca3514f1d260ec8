"""Translating files without a network: what ``s2ldm-node translate INPUT OUTPUT`` does."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dicom_node import __version__
from dicom_node.config import Route
from dicom_node.derive.forms import DEFAULT_FORM, FORM_NAMES
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.marks import Mark
from dicom_node.derive.series import write_derived_series
from dicom_node.errors import NodeError, TranslateError
from dicom_node.input_series import select_slices
from dicom_node.phases import presented
from dicom_node.translation import Uncertainty, slices_differ, whole_hu
from s2ldm_core.contrast_dose import NAME as CONTRAST_DOSE
from s2ldm_core.handling import Handling
from s2ldm_core.sampling import Sampling
from s2ldm_core.translation import Translation
from s2ldm_core.volume import Volume

#: Output forms of the command: those of a route, and volumes for research tools.
OUTPUT_FORMS = (*FORM_NAMES, "nifti")
_VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What was written, DICOM files or one volume file, and how it was made."""

    paths: tuple[Path, ...]
    series_instance_uid: str | None
    translation: Translation


def translate_path(
    input_path: Path,
    output_path: Path,
    *,
    phase: str,
    contrast_dose: float = 1.0,
    model: str = "demo",
    output_form: str | None = None,
    device: str = "auto",
    seed: int = 0,
    steps: int | None = None,
    uncertainty: bool = False,
    series_uid: str | None = None,
    mark: Mark = Mark.CORNER,
    anatomy: Literal["torso", "any"] = "torso",
    enhancement_check: Literal["hu", "tags"] = "hu",
    tilt: Handling = "refuse",
    irregular: Handling = "refuse",
    progress: Callable[[str, float], None] | None = None,
) -> Conversion:
    """Translate one series or volume file.

    Parameters
    ----------
    input_path
        A folder with a DICOM CT series, or a NIfTI or MetaImage file in HU.
    output_path
        Folder for the DICOM forms, which must be empty or absent; file for ``nifti`` (``.nii``, ``.nii.gz``, ``.mha``
        or ``.mhd``, which must not exist), or a folder, which gets ``<phase>.nii.gz``.
    contrast_dose
        Contrast medium as a part of what is usual in the model's training, 0.3 to 2.
    output_form
        One of ``OUTPUT_FORMS``; ``None`` means ``nifti`` when the output is named like a volume file or the input is
        one, else ``sc``. The DICOM forms need a DICOM input.
    uncertainty
        Write the standard deviation of the answer's error, too: as a series of its own in a folder ``uncertainty``, or for
        ``nifti`` as a file beside the first, ``arterial-uncertainty.nii.gz`` beside ``arterial.nii.gz``.
    series_uid
        Which series to take when the folder holds several.
    mark
        What the DICOM forms bear in their pixels.
    anatomy, enhancement_check, tilt, irregular
        As a route's: how a DICOM series is selected, which is what the node would do.
    progress
        Called with the stage's name and the fraction of it done.

    Raises
    ------
    NodeError
        The output is in the way, the form does not fit the input, or selection refuses the series.
    S2LDMError
        The input or the model cannot be used.
    """
    from s2ldm_core.io import read_volume, write_volume
    from s2ldm_core.translator import Translator

    report = progress or (lambda _stage, _fraction: None)
    form = _form(input_path, output_path, output_form)
    target = _target(output_path, form=form, phase=phase, uncertainty=uncertainty)
    volume_file = _is_volume_file(input_path)
    if form != "nifti" and volume_file:
        raise TranslateError(
            "form_needs_dicom",
            f"The output form {form} copies the headers of a DICOM series, which {input_path} is not.",
            "Use --output nifti, or a folder with a DICOM series as input.",
        )
    report("load", 0.0)
    translator = Translator.load(model, device=device)
    report("read", 0.0)
    if volume_file or not input_path.exists():
        volume = read_volume(input_path)
    else:
        volume = _selected_volume(
            input_path,
            route=Route(
                phase="arterial",
                model=model,
                anatomy=anatomy,
                enhancement_check=enhancement_check,
                tilt=tilt,
                irregular=irregular,
            ),
            min_slices=translator.metadata.min_slices,
            series_uid=series_uid,
        )
    if form == "nifti" and volume.offsets is not None:
        raise TranslateError(
            "form_needs_grid",
            "The slices are tilted or unevenly spaced, which a volume file cannot express.",
            "Use a DICOM form for --output, where each slice says its own place.",
        )
    sources = [one.path for one in volume.slices if one.path is not None]
    sampling = Sampling(steps=steps, kind="predicted" if uncertainty else None)
    result = translator.translate(
        volume, phase=phase, values={CONTRAST_DOSE: contrast_dose}, seed=seed, sampling=sampling, progress=report
    )
    told = Uncertainty.of(result.spread, translator.metadata.calibration)
    report("write", 0.0)
    if form == "nifti":
        target.parent.mkdir(parents=True, exist_ok=True)
        write_volume(result.volume, target)
        if told is not None:
            write_volume(replace(result.volume, hu=told.hu), _beside(target))
        report("write", 1.0)
        paths = (target,) if told is None else (target, _beside(target))
        return Conversion(paths=paths, series_instance_uid=None, translation=result.translation)
    series = write_derived_series(
        sources,
        whole_hu(result.volume.hu),
        info=DerivationInfo(
            translation=result.translation,
            route="s2ldm-node translate",
            output=form,
            series_number_offset=presented(phase).series_number_offset,
            mark=mark,
            software_version=__version__,
        ),
        folder=target,
        padding=result.volume.padding,
        uncertainty=told,
        frames=[one.frame for one in volume.slices],
        progress=lambda fraction: report("write", fraction),
    )
    return Conversion(
        paths=tuple(one.path for one in series.instances),
        series_instance_uid=series.series_instance_uid,
        translation=result.translation,
    )


def _selected_volume(path: Path, *, route: Route, min_slices: int, series_uid: str | None) -> Volume:
    """The volume of the slices that selection takes, all of them and no others."""
    from s2ldm_core.io import read_volume

    slices = select_slices(path, route=route, min_slices=min_slices, series_uid=series_uid)
    volume = read_volume(list(dict.fromkeys(slices)), handling=route.stack_handling)
    if problem := slices_differ([str(path) for path in slices], [str(one.path) for one in volume.slices]):
        raise TranslateError(problem.code, problem.sentence, problem.remedy)
    return volume


def _is_volume_file(path: Path) -> bool:
    return path.name.lower().endswith(_VOLUME_SUFFIXES) and not path.is_dir()


def _form(input_path: Path, output_path: Path, output_form: str | None) -> str:
    if output_form is None:
        return (
            "nifti"
            if _is_volume_file(input_path) or output_path.name.lower().endswith(_VOLUME_SUFFIXES)
            else DEFAULT_FORM
        )
    if output_form not in OUTPUT_FORMS:
        raise NodeError(
            "unknown_form", f"There is no output form {output_form!r}.", f"Use one of {', '.join(OUTPUT_FORMS)}."
        )
    return output_form


def _target(output_path: Path, *, form: str, phase: str, uncertainty: bool) -> Path:
    """Where to write, checked before any work is done."""
    if form == "nifti":
        named = output_path.name.lower().endswith(_VOLUME_SUFFIXES)
        target = output_path if named and not output_path.is_dir() else output_path / f"{phase}.nii.gz"
        in_the_way = target.exists() or (uncertainty and _beside(target).exists())
    else:
        target = output_path
        in_the_way = target.exists() and (not target.is_dir() or any(target.iterdir()))
    if in_the_way:
        raise NodeError(
            "output_exists", f"{target} already holds something.", "Name another output, or empty that one."
        )
    return target


def _beside(target: Path) -> Path:
    """Where the uncertainty of a volume file goes."""
    suffix = next(one for one in sorted(_VOLUME_SUFFIXES, key=len, reverse=True) if target.name.lower().endswith(one))
    return target.with_name(f"{target.name[: -len(suffix)]}-uncertainty{target.name[-len(suffix) :]}")
