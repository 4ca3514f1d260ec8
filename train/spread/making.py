"""A package with a spread network, calibrated and measured, from one without."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2ldm_core.calibration import LEVELS, Calibration
from s2ldm_core.package import METADATA, ModelPackage, with_spread
from s2ldm_core.spread import SpreadNetwork
from train.card import model_card
from train.errors import TrainError
from train.fit.ancestry import STARTED_FROM
from train.fit.provenance import describe_data, refuse_held_out
from train.spread.answered import Answered, answer_cases
from train.spread.coverage import Coverage, measured, the_same, told_by
from train.spread.training import of_minutes, train_spread
from train.store import PairStore

CHANNELS = (8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How often intervals held on the cases of a store."""

    coverage: Coverage
    the_same: Coverage
    """With one width everywhere."""
    half_widths: tuple[float, float, float]
    half_widths_of_the_same: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Told:
    """The package, and how often its intervals held."""

    package: ModelPackage
    measured: dict[Path, Measured]
    """Folder of the store → what was measured on it: the held-out one, whose figures the package has, then further ones."""


def add_spread(
    package: ModelPackage,
    output: Path,
    *,
    fit: Path | None,
    calibrate: Path,
    held_out: Path,
    also: Sequence[Path] = (),
    answers: Path,
    version: str,
    minutes: float,
    seed: int = 0,
    device: str = "cpu",
    say: Callable[[str], None],
) -> Told:
    """Train on the answers to the cases of the store ``fit``, scale on those of ``calibrate``, measure on those of ``held_out``, and on
    those of the stores ``also``, which the package says nothing of. Without ``fit`` the network that the package has stays, and only its
    scale and the intervals' widths are set anew.

    None of them may have been in the package's own training. ``answers`` is a folder for what it answers, and for where the training stands
    until the package is written.

    Raises
    ------
    TrainError
        ``output_exists``, ``stores_overlap``, ``phase_missing``, ``no_tissues``, ``nothing_to_calibrate``, ``loss_not_finite``; those of
        the stores.
    """
    if (output / METADATA).exists():
        raise TrainError(
            "output_exists", f"{output} already holds a package.", "Name another folder or remove that one."
        )
    meta, fitted = package.metadata, (calibrate,) if fit is None else (fit, calibrate)
    given = (*fitted, held_out, *also)
    stores = {path: PairStore(path) for path in given}
    for path in fitted:
        refuse_held_out(stores[path])
        _refuse_lack(stores[path], meta.phases)
    _refuse_overlap(stores[path] for path in given)

    def answered(path: Path) -> list[Answered]:
        return answer_cases(
            package, stores[path], answers, device=device, on_case=lambda case: say(f"answered: {case}")
        )

    before: dict[str, Any] = {}
    if fit is None:
        network, channels, before[STARTED_FROM] = _own_network(package, device)
    else:
        run = answers / meta.weights_sha256[:12] / f"spread-{_digest(stores[fit], minutes=minutes, seed=seed)}"
        channels = CHANNELS
        network = train_spread(
            answered(fit),
            phases=meta.phases,
            channels=channels,
            window_hu=meta.window_hu,
            budget=of_minutes(minutes, device=device),
            seed=seed,
            device=device,
            run=run,
            on_progress=lambda done, loss: say(f"trained: {done:.0%}, loss {loss:.3f}"),
        )
    say_spread = told_by(network, phases=meta.phases, window_hu=meta.window_hu)
    second = answered(calibrate)
    raw = measured(second, say_spread)
    _refuse_unnamed(raw, calibrate)
    network.scale_by(raw.ratio)
    half_widths = measured(second, say_spread).half_widths()
    control = the_same(second)
    of_the_same = measured(second, control).half_widths()
    found = {}
    for path in (held_out, *also):
        cases = answered(path)
        found[path] = Measured(
            coverage=measured(cases, say_spread),
            the_same=measured(cases, control),
            half_widths=half_widths,
            half_widths_of_the_same=of_the_same,
        )
    _refuse_unnamed(found[held_out].coverage, held_out)
    calibration = Calibration(
        channels=channels,
        half_widths=half_widths,
        coverage=found[held_out].coverage.within(half_widths),
        cases=len(stores[held_out]),
        weights_sha256="0" * 64,
        training_data={**describe_data(*(stores[path] for path in fitted)), **before},
    )
    made = with_spread(
        package, output, network=network, calibration=calibration, version=version, model_card=model_card
    )
    if fit is not None:
        shutil.rmtree(run)
    return Told(package=made, measured=found)


def markdown(told: Told) -> str:
    """A table a store and phase: the tissues down, what held at each level, give or take what other scans might (`Coverage.doubt`), beside
    what one width everywhere holds, and the errors in HU."""
    parts = []
    for store, found in told.measured.items():
        squares, same = found.coverage.root_mean_squares(), found.the_same.within(found.half_widths_of_the_same)
        doubt = found.coverage.doubt(found.half_widths)
        for phase, tissues in found.coverage.within(found.half_widths).items():
            head = "| tissue | scans | " + " | ".join(f"{q:.0%} (one width)" for q in LEVELS)
            rows = [
                f"| {name.replace('_', ' ')} | {len(found.coverage.counts[phase, name])} | "
                + " | ".join(
                    f"{share:.2f}{'' if math.isnan(half) else f' ± {half:.2f}'} ({other:.2f})"
                    for share, half, other in zip(held, doubt[phase][name], same[phase][name], strict=True)
                )
                + " | {:.1f} | {:.1f} |".format(*squares[phase][name])
                for name, held in sorted(tissues.items())
            ]
            parts.append(
                f"{store}, {phase}\n\n{head} | RMS error, HU | RMS spread, HU |\n|---|---|---|---|---|---|---|\n"
                + "\n".join(rows)
            )
    return "\n\n".join(parts) + "\n"


def _own_network(package: ModelPackage, device: str) -> tuple[SpreadNetwork, tuple[int, ...], dict[str, Any]]:
    """The network that the package has, its channels, and what is known of where it comes from."""
    package.verify()
    network, meta = package.build_spread(device=device), package.metadata
    if network is None or meta.calibration is None:
        raise TrainError(
            "nothing_to_calibrate",
            f"The package {meta.name} has no network that tells its uncertainty.",
            "Give a store to teach one from (--fit).",
        )
    told = meta.calibration
    known = {"weights_sha256": told.weights_sha256, "training_data": told.training_data}
    return network, told.channels, {"name": meta.name, "version": meta.version, **known}


def _digest(store: PairStore, *, minutes: float, seed: int) -> str:
    """Of what decides the outcome of a training."""
    return hashlib.sha256(json.dumps([store.digest(), minutes, seed, CHANNELS]).encode()).hexdigest()[:12]


def _refuse_lack(store: PairStore, phases: tuple[str, ...]) -> None:
    known = {phase for i in range(len(store)) for phase in store[i].changes}
    if absent := [phase for phase in phases if phase not in known]:
        raise TrainError(
            "phase_missing",
            f"No case of {store.folder} has the phase {', '.join(absent)}, which the package answers.",
            "Name a store that has all its phases.",
        )


def _refuse_unnamed(coverage: Coverage, path: Path) -> None:
    if not coverage.counts:
        raise TrainError(
            "no_tissues",
            f"No tissue of the cases in {path} is known by name.",
            "Name cases with labels, such as those of s2ldm-train phantom.",
        )


def _refuse_overlap(stores: Iterable[PairStore]) -> None:
    seen: dict[str, Path] = {}
    for store in stores:
        for case in store.names:
            if case in seen:
                raise TrainError(
                    "stores_overlap",
                    f"The case {case} is in {seen[case]} and in {store.folder}.",
                    "Keep the stores apart: on cases that it was trained on a network is too sure.",
                )
            seen[case] = store.folder
