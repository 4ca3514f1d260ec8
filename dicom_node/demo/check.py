"""Is what came back right? The demo's checks on the received derived series."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.demo.source import DemoSource
from dicom_node.derive.mark import place_of

#: Outside these HU nothing enhances: air and lung below, dense bone above.
_NEVER_ENHANCES_HU = (-300.0, 500.0)
#: Share of soft tissue that has to gain more than `_GAIN_HU` in any contrast phase of a torso.
_ENHANCING_SHARE = 0.01
_GAIN_HU = 30.0
#: Where the truth is known: a mean change from here on must come out between the two factors, a smaller one within ± this much.
_TRUE_GAIN_HU = 40.0
_RECOVERED = (0.5, 1.5)
_GEOMETRY = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "FrameOfReferenceUID",
    "StudyInstanceUID",
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that must hold; ``detail`` says what was found."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Received:
    """A derived series as the destination got it: ``hu`` is ``(D, H, W)`` on the source's grid."""

    phase: str
    paths: tuple[Path, ...]
    hu: np.ndarray
    checks: tuple[Check, ...]


def receive_series(paths: Sequence[Path], source: DemoSource, *, phase: str) -> Received:
    """Read a received series, slice by slice beside its source, and check it."""
    sources = {one.sop_instance_uid: (index, one.path) for index, one in enumerate(source.volume.slices)}
    hu = np.full(source.volume.shape, np.nan, dtype=np.float32)
    ordered: dict[int, Path] = {}
    wrong_geometry: list[str] = []
    wrong_tags: set[str] = set()
    marked = np.zeros(source.volume.shape, dtype=bool)
    for path in paths:
        one = dcmread(path)
        index, source_path = sources.get(_source_uid(one), (-1, None))
        if source_path is None:
            continue
        original = dcmread(source_path, stop_before_pixels=True)
        wrong_geometry += [keyword for keyword in _GEOMETRY if one.get(keyword) != original.get(keyword)]
        wrong_tags |= _wrong_tags(one)
        hu[index] = one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept)
        box = place_of(str(one.get("DerivationDescription", "")))
        if box is not None:
            marked[index][box] = True
        ordered[index] = path
    complete = len(paths) == len(source.paths) == len(ordered)
    checks = [
        Check(
            name="one instance per source slice",
            passed=complete,
            detail=f"{len(paths)} received for {len(source.paths)} slices",
        ),
        Check(
            name="same geometry and frame of reference",
            passed=not wrong_geometry,
            detail=", ".join(sorted(set(wrong_geometry))) or "equal on every slice",
        ),
        Check(
            name="marked as synthetic",
            passed=not wrong_tags,
            detail=", ".join(sorted(wrong_tags))
            or "Secondary Capture, Synthetic Data YES, the mark in the pixels, no contrast",
        ),
    ]
    if complete:
        checks += _check_hu(source, hu, marked=marked)
        checks += _check_organs(source, hu, phase=phase)
    return Received(phase=phase, paths=tuple(ordered[index] for index in sorted(ordered)), hu=hu, checks=tuple(checks))


def _check_hu(source: DemoSource, hu: np.ndarray, *, marked: np.ndarray) -> list[Check]:
    """``marked`` is ``(D, H, W)`` bool, true under the visible mark, where HU say nothing."""
    low, high = _NEVER_ENHANCES_HU
    volume = source.volume
    measured = ~marked if volume.padding is None else ~(volume.padding | marked)
    still = measured & ((volume.hu < low) | (volume.hu > high))
    change = hu - volume.hu
    worst = float(np.abs(change[still]).max(initial=0.0))
    soft = change[measured & ~still]
    enhanced = float((soft > _GAIN_HU).mean()) if soft.size else 0.0
    return [
        Check(
            name="air, lung and dense bone unchanged",
            passed=worst <= 1.0,
            detail=f"largest difference {worst:.2f} HU in {int(still.sum())} voxels",
        ),
        Check(
            name="something enhances",
            passed=enhanced >= _ENHANCING_SHARE,
            detail=f"{100 * enhanced:.1f} % of soft tissue gains more than {_GAIN_HU:.0f} HU",
        ),
    ]


def _check_organs(source: DemoSource, hu: np.ndarray, *, phase: str) -> list[Check]:
    """Do the right organs enhance, and the others not? Only a phantom knows."""
    if source.phantom is None:
        return []
    change = source.phantom.hu(phase) - source.phantom.hu("native")
    wrong: list[str] = []
    right: list[str] = []
    for name, mask in source.organ_masks().items():
        true = float(change[mask].mean())
        found = float((hu[mask] - source.volume.hu[mask]).mean())
        if true >= _TRUE_GAIN_HU:
            good = _RECOVERED[0] <= found / true <= _RECOVERED[1]
        else:
            good = abs(found - true) <= _TRUE_GAIN_HU
        (right if good else wrong).append(f"{name.replace('_', ' ')} {found:+.0f} of {true:+.0f} HU")
    return [Check(name="the right organs enhance", passed=not wrong, detail=", ".join(wrong or right))]


def _source_uid(dataset: Dataset) -> str:
    items = dataset.get("SourceImageSequence") or []
    return str(items[0].ReferencedSOPInstanceUID) if items else ""


def _wrong_tags(dataset: Dataset) -> set[str]:
    expected = {
        "SOPClassUID": SecondaryCaptureImageStorage,
        "SyntheticData": "YES",
        "BurnedInAnnotation": "YES",
        "Modality": "CT",
        "RescaleType": "HU",
    }
    wrong = {keyword for keyword, value in expected.items() if dataset.get(keyword) != value}
    if not str(dataset.get("SeriesDescription", "")).startswith("SYNTHETIC"):
        wrong.add("SeriesDescription")
    return wrong | {element.keyword for element in dataset if element.keyword.startswith("ContrastBolus")}
