"""Between two trainings of one network: the weighted mean of their weights (Wortsman et al. 2022, arXiv 2109.01903, WiSE-FT, and
2203.05482, model soups).

What a fine-tuning gains on new data and what it loses on the old is often no trade along the line between both: the middle keeps most of
either. That holds where one was trained from the other or both from a third, as is asked for here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2ldm_core.package import METADATA, WEIGHTS, ModelPackage, save_package
from train.card import model_card
from train.errors import TrainError
from train.fit.provenance import ANSWERED_BY
from train.growth import grown


def average(
    start: ModelPackage, tuned: ModelPackage, output: Path, *, share: float, name: str, version: str
) -> ModelPackage:
    """A package whose weights are ``share`` of ``tuned`` and the rest of ``start``; one was trained from the other, or both from a third.

    Raises
    ------
    TrainError
        ``not_started_from`` when nothing says so, ``average_differs`` when their networks have other shapes, ``output_exists``.
    PackageError
        One was changed.
    """
    from safetensors.torch import load_file

    if (output / METADATA).exists():
        raise TrainError(
            "output_exists", f"{output} already holds a package.", "Name another folder or remove that one."
        )
    first_line, second_line = _line(start), _line(tuned)
    common = next((entry for sha256, entry in second_line.items() if sha256 in first_line), None)
    if common is None:
        raise TrainError(
            "not_started_from",
            f"{tuned.metadata.name} {tuned.metadata.version} and {start.metadata.name} {start.metadata.version} have no start in common.",
            "Name the package that its run's init names, or train both from one: between two trainings of their own lies nothing.",
        )
    system = tuned.build()
    start.verify()
    second = load_file(tuned.path / WEIGHTS)
    first = grown(load_file(start.path / WEIGHTS), system)
    if {key: value.shape for key, value in first.items()} != {key: value.shape for key, value in second.items()}:
        raise TrainError("average_differs", "The two networks have other shapes.", "Average trainings of one network.")
    system.load_shipped(
        {
            key: ((1 - share) * first[key].double() + share * value.double()).to(value.dtype)
            if value.is_floating_point()
            else value
            for key, value in second.items()
        }
    )
    meta = tuned.metadata
    return save_package(
        output,
        system=system,
        metadata={
            "name": name,
            "version": version,
            "window_hu": meta.window_hu,
            "spacing_mm": meta.spacing_mm,
            "min_slices": meta.min_slices,
            "intended_use": meta.intended_use,
            "training_data": {**_training_data(start, tuned, share), "started_from": common},
            "metrics": {},
            "limits": tuple(dict.fromkeys((*meta.limits, *start.metadata.limits))),
            "answers": meta.answers,
        },
        model_card=model_card,
    )


def _line(package: ModelPackage) -> dict[str, Mapping[str, Any]]:
    """Digest of the weights → entry of ``started_from``: of the package itself and of each that it came from, the latest first."""
    meta = package.metadata
    entry: Mapping[str, Any] = {
        "name": meta.name,
        "version": meta.version,
        "weights_sha256": meta.weights_sha256,
        "training_data": meta.training_data,
    }
    found = {}
    while entry:
        found[str(entry["weights_sha256"])] = entry
        entry = entry["training_data"].get("started_from", {})
    return found


def _training_data(start: ModelPackage, tuned: ModelPackage, share: float) -> dict[str, Any]:
    sources: dict[str, Mapping[str, Any]] = {}
    for package in (start, tuned):
        for one in package.metadata.training_data.get("sources", []):
            known = sources.get(one["source"], {})
            sources[one["source"]] = {**one, "cases": max(int(one["cases"]), int(known.get("cases", 0)))}
    data = [package.metadata.training_data for package in (start, tuned)]
    teachers = {teacher: learned for one in data for teacher, learned in one.get(ANSWERED_BY, {}).items()}
    return {
        "source": "; ".join(sources),
        "sources": list(sources.values()),
        "seeds": sorted({seed for one in (start, tuned) for seed in one.metadata.training_data.get("seeds", [])}),
        **({ANSWERED_BY: teachers} if teachers else {}),
        "average": f"{share:g} of {tuned.identity}, {1 - share:g} of {start.identity}",
    }
