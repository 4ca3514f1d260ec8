"""What a model does to a real native CT that has no contrast scan beside it: mean HU of organs, held against what they reach in patients.

Regions come from a label map beside the scan (``labels.nii.gz`` and ``labels.json``, TotalSegmentator's class names or plain anatomical
English) or from a list of spheres that a reader placed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel

from s2ldm_core import Translator, Volume
from s2ldm_core.body import body_mask
from s2ldm_core.documents import read_document, validate
from s2ldm_core.errors import S2LDMError
from s2ldm_core.phantom import ORGANS
from train.anatomy.names import structure
from train.errors import TrainError
from train.evaluation.expected import EXPECTED, LEAST_OF_MEAN, LUMINA
from train.evaluation.tissue import still_tissue
from train.metrics import organ_cores
from train.prepare.labels import read_labels
from train.prepare.maps import MapFile

_FEWEST_VOXELS = 10
_FEWEST_IN_SLICE = 20


@dataclass(frozen=True, kw_only=True)
class Region:
    """Voxels of one name."""

    name: str
    structure: str
    voxels: np.ndarray
    """``(D, H, W)`` bool on the scan's canonical grid."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the table."""

    name: str
    structure: str
    voxels: int
    native_hu: float
    hu: Mapping[str, float]
    """Mean HU by phase."""
    darkest: Mapping[str, float] = field(default_factory=dict)
    """Phase → of a vessel's lumen, the smallest 5th percentile over the mean of a slice: how dark a part of it was left."""

    def verdict(self, phase: str) -> bool | None:
        """Whether ``phase`` is as expected; ``None`` where nothing is."""
        expected = EXPECTED.get(self.structure, {}).get(phase)
        if expected is None:
            return None
        return (self.hu[phase] - self.native_hu if expected.change else self.hu[phase]) in expected

    def even(self, phase: str) -> bool | None:
        """Whether no part of a lumen stays dark; ``None`` where it is none."""
        return None if phase not in self.darkest else self.darkest[phase] >= LEAST_OF_MEAN

    def still(self, phase: str) -> bool:
        """Whether nothing must enhance here."""
        expected = EXPECTED.get(self.structure, {}).get(phase)
        return expected is not None and expected.still


class _Sphere(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=80)]
    structure: str
    centre_mm: tuple[float, float, float]
    """LPS (x, y, z)."""
    radius_mm: float = Field(gt=0, le=200)


class _Spheres(RootModel[tuple[_Sphere, ...]]):
    """What a reader placed."""


def labelled_regions(path: Path, scan: Volume) -> list[Region]:
    """The organs of a label map, off their outlines; names that stand for no structure are left out.

    Raises
    ------
    TrainError
        ``labels_unreadable``.
    """
    labels = read_labels(MapFile.beside(path))
    cores = organ_cores(labels.on(scan), spacing_mm=scan.spacing_mm, fewest=_FEWEST_VOXELS)
    regions = []
    for name, value in labels.organs.items():
        try:
            found = _known(name)
        except S2LDMError:
            continue
        regions.append(Region(name=name, structure=found, voxels=cores == value))
    return regions


def placed_regions(path: Path, scan: Volume) -> list[Region]:
    """Spheres from a YAML list of ``{name, structure, centre_mm: [x, y, z] (LPS), radius_mm}``.

    Raises
    ------
    TrainError
        ``regions_unreadable``: not such a list, or a region outside the scan.
    """
    try:
        spheres = validate(_Spheres, read_document(path), name=path.name).root
        for sphere in spheres:
            _known(sphere.structure)
    except (OSError, S2LDMError) as error:
        raise TrainError(
            "regions_unreadable",
            f"{path} is not a list of regions: {error.sentence if isinstance(error, S2LDMError) else error}",
            "Write a YAML list of {name: …, structure: aorta, centre_mm: [x, y, z], radius_mm: 5}, LPS millimetres.",
        ) from error
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in scan.shape), indexing="ij"), axis=-1)[..., ::-1]
    place = grid @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    regions = []
    for sphere in spheres:
        inside = np.linalg.norm(place - np.asarray(sphere.centre_mm), axis=-1) <= sphere.radius_mm
        if inside.sum() < _FEWEST_VOXELS:
            raise TrainError(
                "regions_unreadable",
                f"The region {sphere.name!r} holds {inside.sum()} voxels of the scan, fewer than {_FEWEST_VOXELS}.",
                "Give its centre in LPS millimetres, and a larger radius.",
            )
        regions.append(Region(name=sphere.name, structure=_known(sphere.structure), voxels=inside))
    return regions


def _known(name: str) -> str:
    return name if name in ORGANS else structure(name)


def examine(translator: Translator, scan: Volume, regions: Sequence[Region]) -> list[Finding]:
    """Translate ``scan`` (canonical) to every phase of the package and measure it in ``regions``.

    Fat and dense bone are found by their HU and added.
    """
    body = body_mask(scan.hu, scan.spacing_mm)
    still = still_tissue(scan.hu, spacing_mm=scan.spacing_mm, body=body)
    measured = [
        *regions,
        Region(name="fat, by HU", structure="visceral_fat", voxels=still & (scan.hu < 0)),
        Region(name="dense bone, by HU", structure="cortical_bone", voxels=still & (scan.hu > 0)),
    ]
    answers = {phase: translator.translate(scan, phase=phase).volume.hu for phase in translator.metadata.phases}
    findings = []
    for region in measured:
        count = int(region.voxels.sum())
        if count < _FEWEST_VOXELS:
            continue
        findings.append(
            Finding(
                name=region.name,
                structure=region.structure,
                voxels=count,
                native_hu=float(scan.hu[region.voxels].mean()),
                hu={phase: float(hu[region.voxels].mean()) for phase, hu in answers.items()},
                darkest={phase: share for phase, hu in answers.items() if (share := _darkest(region, scan.hu, hu))},
            )
        )
    return findings


def _darkest(region: Region, native: np.ndarray, hu: np.ndarray) -> float | None:
    """Smallest 5th percentile over the mean of a slice of a lumen, of the slice's mean native HU + the change: without the scan's noise."""
    if region.structure not in LUMINA:
        return None
    shares = []
    for where, before, after in zip(region.voxels, native, hu, strict=True):
        if np.count_nonzero(where) >= _FEWEST_IN_SLICE:
            painted = before[where].mean() + (after - before)[where]
            shares.append(float(np.quantile(painted, 0.05) / painted.mean()))
    return min(shares, default=None)


def table(findings: Sequence[Finding]) -> str:
    """Markdown: mean HU by region and phase, what was expected, and how many are as expected."""
    phases = list(findings[0].hu) if findings else []
    lines = [
        "| region | voxels | native | " + " | ".join(f"{phase} | expected" for phase in phases) + " |",
        "|---|---|---|" + "---|---|" * len(phases),
    ]
    verdicts: dict[bool, list[bool]] = {False: [], True: []}
    lumina = []
    for finding in findings:
        cells = []
        for phase in phases:
            verdict = finding.verdict(phase)
            if verdict is not None:
                verdicts[finding.still(phase)].append(verdict)
            expected = EXPECTED.get(finding.structure, {}).get(phase)
            value = f"{finding.hu[phase]:.0f}"
            cells += [f"**{value}**" if verdict is False else value, "" if expected is None else str(expected)]
            if (even := finding.even(phase)) is not None:
                share = f"{finding.darkest[phase]:.2f}"
                lumina.append(f"{finding.name.replace('_', ' ')}, {phase}: {share if even else f'**{share}**'}")
        lines.append(
            f"| {finding.name.replace('_', ' ')} | {finding.voxels} | {finding.native_hu:.0f} | "
            + " | ".join(cells)
            + " |"
        )
    lines += [
        "",
        f"{_of(verdicts[False])} of what enhances and {_of(verdicts[True])} of what must not are as expected; the others are bold.",
    ]
    if lumina:
        lines += [
            "",
            f"Darkest part of a lumen over its slice's mean (at least {LEAST_OF_MEAN:g}): {'; '.join(lumina)}.",
        ]
    return "\n".join(lines)


def _of(verdicts: Sequence[bool]) -> str:
    return f"{sum(verdicts)} of {len(verdicts)}"
