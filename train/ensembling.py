"""Finished packages as members of one that answers with their mean (`s2ldm_core.systems.ensemble`)."""

from collections.abc import Iterable, Sequence
from math import fsum, isfinite
from pathlib import Path

from s2ldm_core.package import METADATA, ModelPackage, save_package
from s2ldm_core.systems import System, build_system
from s2ldm_core.systems.ensemble import Ensemble
from train.card import model_card
from train.errors import TrainError
from train.fit.ancestry import MEMBERS, entry, merged

Answers = dict[str, dict[str, dict[str, tuple[float, float]]]]
"""Phase → region → measure (`s2ldm_core.answers`)."""


def ensemble(
    packages: Sequence[ModelPackage],
    output: Path,
    *,
    name: str,
    version: str,
    shares: Sequence[float] = (),
    half: bool = False,
) -> ModelPackage:
    """A package whose answer is the mean of what ``packages`` answer.

    ``shares``: how much each counts, in their order, in any unit; none: all alike. An ensemble among them takes part with its members.
    ``half``: weights are kept as float16; they are computed with as float32.

    Raises
    ------
    TrainError
        ``ensemble_of_one``; ``bad_shares``; ``ensemble_differs`` when phases, grid or HU window are not the same; ``output_exists``.
    PackageError
        One was changed, or a weight is beyond float16.
    """
    if (output / METADATA).exists():
        raise TrainError(
            "output_exists", f"{output} already holds a package.", "Name another folder or remove that one."
        )
    if len({package.metadata.weights_sha256 for package in packages}) < max(2, len(packages)):
        raise TrainError(
            "ensemble_of_one",
            "An ensemble has two packages or more, and no two with the same weights.",
            "Name others; --share says how much each counts.",
        )
    parts_of = _whole(shares or [1.0] * len(packages), len(packages))
    first, *others = (package.metadata for package in packages)
    for other in others:
        for what in ("phases", "window_hu", "spacing_mm"):
            if getattr(other, what) != getattr(first, what):
                raise TrainError(
                    "ensemble_differs",
                    f"{other.name} {other.version} and {first.name} {first.version} differ in {what}: "
                    f"{getattr(other, what)} and {getattr(first, what)}.",
                    "Name packages that share phases, HU window and grid.",
                )
    parts = [
        part for package, share in zip(packages, parts_of, strict=True) for part in _members(package.build(), share)
    ]
    joined = build_system(
        Ensemble.name,
        {
            "phases": first.phases,
            "members": [
                {
                    "system": system.name,
                    "share": share,
                    "network": system.config.model_dump(mode="json", exclude={"phases"}),
                }
                for share, system in parts
            ],
        },
    )
    joined.load_shipped(
        {f"member_{n}.{key}": value for n, (_, system) in enumerate(parts) for key, value in system.shipped().items()}
    )
    return save_package(
        output,
        system=joined,
        metadata={
            "name": name,
            "version": version,
            "window_hu": first.window_hu,
            "spacing_mm": first.spacing_mm,
            "min_slices": max(package.metadata.min_slices for package in packages),
            "intended_use": first.intended_use,
            "training_data": {
                **merged(packages),
                "ensemble": ", ".join(
                    f"{share:.3g} of {one.identity}" for one, share in zip(packages, parts_of, strict=True)
                ),
                MEMBERS: [entry(package.metadata) for package in packages],
            },
            "metrics": {},
            "limits": tuple(dict.fromkeys(limit for package in packages for limit in package.metadata.limits)),
            "answers": _widest(package.metadata.answers for package in packages),
        },
        model_card=model_card,
        half=half,
    )


def _whole(shares: Sequence[float], count: int) -> list[float]:
    """``shares`` as parts of one."""
    if len(shares) != count or not all(isfinite(share) and share > 0 for share in shares):
        raise TrainError(
            "bad_shares",
            f"The shares {', '.join(f'{share:g}' for share in shares)} do not fit {count} packages.",
            "Give one positive number for each package, in their order, or none.",
        )
    return [share / fsum(shares) for share in shares]


def _members(system: System, share: float) -> list[tuple[float, System]]:
    if not isinstance(system, Ensemble):
        return [(share, system)]
    return [(share * one.share, part) for one, part in zip(system.config.members, system.members, strict=True)]


def _widest(answers: Iterable[Answers | None]) -> Answers | None:
    """Limits that what any member's training had lies within; ``None`` where nobody measured any."""
    found: dict[tuple[str, str, str], tuple[float, float]] = {}
    for one in filter(None, answers):
        for phase, regions in one.items():
            for region, measures in regions.items():
                for measure, (low, high) in measures.items():
                    known = found.get((phase, region, measure), (low, high))
                    found[phase, region, measure] = (min(low, known[0]), max(high, known[1]))
    widest: Answers = {}
    for (phase, region, measure), limits in found.items():
        widest.setdefault(phase, {}).setdefault(region, {})[measure] = limits
    return widest or None
