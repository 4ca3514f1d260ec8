"""Whether a series is for translation: every instance is looked at, and every refusal explains itself."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset

from dicom_node.series import rules
from dicom_node.series.decision import Decision
from dicom_node.series.enhancement import Enhancement, measure_enhancement
from dicom_node.series.headers import SeriesHeaders, read_headers, sop_class_uid, sop_instance_uid
from dicom_node.series.pixels import coarse_volume
from s2ldm_core.errors import GeometryError, VolumeError
from s2ldm_core.geometry import SeriesGeometry, series_geometry
from s2ldm_core.io.hounsfield import hu_rescale

#: Measures enhancement given files in order along the normal, and ``(dz, dy, dx)`` in mm.
Measure = Callable[[Sequence[Path], tuple[float, float, float]], Enhancement]


def examine_series(
    paths: Sequence[Path], *, min_slices: int, check_hu: bool = True, measure: Measure | None = None
) -> Decision:
    """Read a series' headers, decide, and look at its HU if the headers do not object.

    Parameters
    ----------
    paths
        All files of one series.
    min_slices
        Fewest slices that are translated.
    check_hu
        Whether a series without contrast tags is refused when its HU look enhanced.
    """
    read = read_headers(paths)
    decision, stack = select_series(read, min_slices=min_slices)
    if not decision.accepted or stack is None or not check_hu:
        return decision
    ordered, geometry = stack
    try:
        found = (measure or _measure)(ordered, geometry.spacing_mm)
    except VolumeError as error:
        return Decision.refuse_for(error, details=decision.details)
    details = dict(decision.details) | {
        "enhanced_area_cm2": round(found.area_cm2, 2),
        "enhanced_mean_hu": round(found.mean_hu),
    }
    if found.enhanced:
        return Decision.refuse(
            "enhanced_by_hu",
            f"The images look contrast-enhanced although no tag says so: vessels or kidneys at about "
            f"{found.mean_hu:.0f} HU on {found.slice_fraction:.0%} of the slices.",
            "Send the non-contrast series. If this is one (oral contrast can look so), set the route's "
            "enhancement_check to tags and retry the job.",
            details=details,
        )
    return Decision(set_aside=decision.set_aside, details=details)


def select_series(read: SeriesHeaders, *, min_slices: int) -> tuple[Decision, tuple[list[Path], SeriesGeometry] | None]:
    """Decide by the headers alone.

    Returns
    -------
    tuple
        The decision and, if it is to accept, the files in order along the slice normal with their geometry.
    """
    if read.unreadable:
        return _refused(
            "unreadable_instances",
            f"{len(read.unreadable)} of {len(read.unreadable) + len(read.paths)} objects cannot be read as DICOM.",
            "A volume with holes is not translated: send the series again.",
        )
    if not read.headers:
        return _refused("no_images", "The series holds no objects.", "Send the series again.")
    decision = _refuse_synthetic(read.headers)
    if decision is not None:
        return decision, None
    slices, others = _separate(read)
    if not slices:
        return _explain_no_slices(read.headers), None
    headers = [header for _, header in slices]
    details: dict[str, Any] = {"slices": len(slices)}
    if others:
        details["set_aside"] = dict(Counter(kind for kind, _ in others))
    if hint := next(filter(None, map(rules.description_hint, headers)), None):
        details["description_hint"] = hint
    decision = _refuse_content(headers, min_slices=min_slices, details=details)
    if decision is not None:
        return decision, None
    try:
        geometry = series_geometry(headers)
    except GeometryError as error:
        return Decision.refuse_for(error, details=details), None
    details["spacing_mm"] = [round(one, 3) for one in geometry.spacing_mm]
    set_aside = tuple(sop_instance_uid(header) for _, header in others)
    ordered = [slices[index][0] for index in geometry.order]
    return Decision(set_aside=set_aside, details=details), (ordered, geometry)


def _measure(paths: Sequence[Path], spacing_mm: tuple[float, float, float]) -> Enhancement:
    return measure_enhancement(*coarse_volume(paths, spacing_mm))


def _refused(code: str, sentence: str, remedy: str) -> tuple[Decision, None]:
    return Decision.refuse(code, sentence, remedy), None


def _refuse_synthetic(headers: Sequence[Dataset]) -> Decision | None:
    count = sum(rules.is_synthetic(header) for header in headers)
    if not count:
        return None
    return Decision.refuse(
        "synthetic",
        f"{count} of {len(headers)} images are synthetic already, made by this node or another one.",
        "Stop the PACS from routing derived series back to this AE title.",
    )


def _kind(header: Dataset) -> str:
    """What an instance is: ``slice``, or the reason why it is none."""
    sop_class = sop_class_uid(header)
    if sop_class in rules.MULTI_FRAME_CT:
        return "multi_frame"
    if sop_class.startswith(rules.SECONDARY_CAPTURE_PREFIX):
        return "secondary_capture"
    if sop_class != rules.CT_IMAGE:
        return "not_ct"
    if rules.is_localizer(header):
        return "localizer"
    if rules.is_map(header):
        return "derived_map"
    return "slice"


def _separate(read: SeriesHeaders) -> tuple[list[tuple[Path, Dataset]], list[tuple[str, Dataset]]]:
    """Slices, and everything else with its kind.

    Some scanners put the localizer, and some PACS a dose report, into the axial series; these have no place in the
    volume and are set aside. A multi-frame image beside single frames may hold the very same slices, so it is not.
    """
    slices, others = [], []
    for path, header in zip(read.paths, read.headers, strict=True):
        kind = _kind(header)
        if kind in ("slice", "multi_frame"):
            slices.append((path, header))
        else:
            others.append((kind, header))
    if all(_kind(header) == "multi_frame" for _, header in slices):
        return [], [*others, *(("multi_frame", header) for _, header in slices)]
    return slices, others


_NO_SLICES = {
    "multi_frame": (
        "The series is an enhanced multi-frame CT, which is not translated.",
        "Have the sender convert enhanced multi-frame CT to single-frame CT.",
    ),
    "secondary_capture": (
        "The series holds screen captures or other secondary captures, not CT slices.",
        "Route only the axial non-contrast series to this AE title.",
    ),
    "not_ct": ("The series holds no CT images.", "Route only CT series to this AE title."),
    "localizer": (
        "The series holds localizers (scouts, topograms) only.",
        "Route only the axial non-contrast series to this AE title.",
    ),
    "derived_map": (
        "The series holds maps or projections (perfusion, MIP and the like), whose values are not Hounsfield units.",
        "Send the original slices.",
    ),
}


def _explain_no_slices(headers: Sequence[Dataset]) -> Decision:
    kind = Counter(map(_kind, headers)).most_common(1)[0][0]
    return Decision.refuse(kind, *_NO_SLICES[kind])


def _refuse_content(headers: Sequence[Dataset], *, min_slices: int, details: dict[str, Any]) -> Decision | None:
    stated = [keyword for header in headers if (keyword := rules.contrast_statement(header))]
    if stated:
        return Decision.refuse(
            "enhanced",
            f"The series is contrast-enhanced already: {Counter(stated).most_common(1)[0][0]} says so in "
            f"{len(stated)} of {len(headers)} images.",
            "Send the non-contrast series of the study.",
            details=details,
        )
    try:
        for header in headers:
            hu_rescale(header)
    except VolumeError as error:
        return Decision.refuse_for(error, details=details)
    if len(headers) < min_slices:
        number = "1 slice" if len(headers) == 1 else f"{len(headers)} slices"
        return Decision.refuse(
            "too_few_slices",
            f"The series has {number}; the route needs at least {min_slices}.",
            "Send the whole series, or lower min_slices.",
            details=details,
        )
    return None
