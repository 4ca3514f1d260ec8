"""Between two trainings of one network: the weighted mean of their weights (Wortsman et al. 2022, arXiv 2109.01903, WiSE-FT, and
2203.05482, model soups).

What a fine-tuning gains on new data and what it loses on the old is often no trade along the line between both: the middle keeps most of
either. That holds where one was trained from the other or both from a third, as is asked for here.
"""

from pathlib import Path

from s2ldm_core.package import METADATA, WEIGHTS, ModelPackage, save_package
from train.card import model_card
from train.errors import TrainError
from train.fit.ancestry import STARTED_FROM, line, merged
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
    first_line, second_line = line(start.metadata), line(tuned.metadata)
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
            "training_data": {
                **merged((start, tuned)),
                "average": f"{share:g} of {tuned.identity}, {1 - share:g} of {start.identity}",
                STARTED_FROM: common,
            },
            "metrics": {},
            "limits": tuple(dict.fromkeys((*meta.limits, *start.metadata.limits))),
            "answers": meta.answers,
        },
        model_card=model_card,
    )
