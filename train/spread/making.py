"""A package with a spread network, calibrated and measured, from one without."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from s2ldm_core.calibration import LEVELS, Calibration
from s2ldm_core.package import METADATA, ModelPackage, with_spread
from train.card import model_card
from train.errors import TrainError
from train.fit.provenance import refuse_held_out
from train.spread.answered import Answered, answer_cases
from train.spread.coverage import Coverage, measured, the_same, told_by
from train.spread.training import of_minutes, train_spread
from train.store import PairStore

CHANNELS = (8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class Told:
    """The package, and how often its intervals held on the held-out cases, beside those of one width everywhere."""

    package: ModelPackage
    coverage: Coverage
    the_same: dict[str, dict[str, tuple[float, ...]]]


def add_spread(
    package: ModelPackage,
    output: Path,
    *,
    fit: Path,
    calibrate: Path,
    held_out: Path,
    answers: Path,
    version: str,
    minutes: float,
    seed: int = 0,
    device: str = "cpu",
    say: Callable[[str], None],
) -> Told:
    """Train on the answers to the cases of the store ``fit``, scale on those of ``calibrate``, measure on those of ``held_out``.

    None of them may have been in the package's own training. ``answers`` is a folder for what it answers.

    Raises
    ------
    TrainError
        ``output_exists``, ``stores_overlap``, ``no_tissues``, ``loss_not_finite``; those of the stores.
    """
    if (output / METADATA).exists():
        raise TrainError(
            "output_exists", f"{output} already holds a package.", "Name another folder or remove that one."
        )
    stores = {name: PairStore(path) for name, path in (("fit", fit), ("calibrate", calibrate), ("held", held_out))}
    for name in ("fit", "calibrate"):
        refuse_held_out(stores[name])
    _refuse_overlap(stores)
    meta = package.metadata

    def answered(name: str) -> list[Answered]:
        return answer_cases(
            package, stores[name], answers / name, device=device, on_case=lambda case: say(f"answered: {case}")
        )

    first = answered("fit")
    network = train_spread(
        first,
        phases=meta.phases,
        channels=CHANNELS,
        window_hu=meta.window_hu,
        budget=of_minutes(minutes, device=device),
        seed=seed,
        device=device,
        on_progress=lambda done, loss: say(f"trained: {done:.0%}, loss {loss:.3f}"),
    )
    say_spread = told_by(network, phases=meta.phases, window_hu=meta.window_hu)
    second = answered("calibrate")
    raw = measured(second, say_spread)
    if not raw.counts:
        raise TrainError(
            "no_tissues",
            f"No tissue of the cases in {calibrate} is known by name.",
            "Calibrate on cases with labels, such as those of s2ldm-train phantom.",
        )
    with torch.no_grad():
        network.scale_by(raw.ratio)
    half_widths = measured(second, say_spread).half_widths()
    third = answered("held")
    coverage = measured(third, say_spread)
    control = the_same(second)
    calibration = Calibration(
        channels=CHANNELS,
        half_widths=half_widths,
        coverage=coverage.within(half_widths),  # type: ignore[arg-type]
        cases=len(stores["held"]),
        weights_sha256="0" * 64,
    )
    made = with_spread(
        package, output, network=network, calibration=calibration, version=version, model_card=model_card
    )
    return Told(
        package=made,
        coverage=coverage,
        the_same=measured(third, control).within(measured(second, control).half_widths()),
    )


def markdown(told: Told) -> str:
    """A table a phase: the tissues down, what held at each level beside what one width everywhere holds, and the errors in HU."""
    calibration = told.package.metadata.calibration
    if calibration is None:
        raise ValueError("the package tells no uncertainty")
    squares = told.coverage.root_mean_squares()
    parts = []
    for phase, tissues in calibration.coverage.items():
        head = (
            "| tissue | " + " | ".join(f"{q:.0%} (one width)" for q in LEVELS) + " | RMS error, HU | RMS spread, HU |"
        )
        rows = [
            f"| {name.replace('_', ' ')} | "
            + " | ".join(f"{a:.2f} ({b:.2f})" for a, b in zip(held, told.the_same[phase][name], strict=True))
            + " | {:.1f} | {:.1f} |".format(*squares[phase][name])
            for name, held in sorted(tissues.items())
        ]
        parts.append("\n".join([f"{phase}\n", head, "|---|---|---|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _refuse_overlap(stores: dict[str, PairStore]) -> None:
    seen: dict[str, str] = {}
    for name, store in stores.items():
        for case in store.names:
            if case in seen:
                raise TrainError(
                    "stores_overlap",
                    f"The case {case} is in the stores for {seen[case]} and {name}.",
                    "Keep the three apart: on cases that it was trained on a network is too sure.",
                )
            seen[case] = name
