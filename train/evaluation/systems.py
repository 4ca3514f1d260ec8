"""What is evaluated: identity, model packages, their samples' mean, and the autoencoder's ceiling, all behind one call.

Every system goes through the product's own way (resample, predict, bring back, add), so the numbers are those of the derived series.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from s2ldm_core.change import add_change
from s2ldm_core.documents import read_document
from s2ldm_core.ensemble import Ensemble
from s2ldm_core.errors import DocumentError
from s2ldm_core.package import ModelPackage, sha256_of
from s2ldm_core.sampling import OWN, Sampling
from s2ldm_core.seconds import NAME
from s2ldm_core.systems import Batch, Condition, How, System, build_system
from s2ldm_core.tiling import TILE
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.evaluation.cases import EvaluationCase

Kind = Literal["identity", "model", "samples", "ceiling", "autoencoder"]
"""``ceiling``: the stage-1 autoencoder; ``autoencoder``: one that end-to-end fine-tuning has changed, which bounds nothing."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A system's answer on the source's grid."""

    hu: np.ndarray
    """``(D, H, W)`` HU."""
    deviation_hu: np.ndarray | None = None
    """Standard deviation of the samples whose mean ``hu`` is."""
    refusal: str = ""
    """Why a node refuses this answer; empty: it does not."""


Answer = Callable[[EvaluationCase, Volume, str], Prediction]
"""(case, target, phase) → the system's answer; only the autoencoders look at the target, only `organ_shift` at the labels."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One row of the tables."""

    label: str
    kind: Kind
    answer: Answer
    identity: str = ""
    """What makes its answers these and no others: package name, version, weights."""
    phases: tuple[str, ...] = ()
    """Phases it knows; empty: every one."""


def identity() -> Candidate:
    """The non-contrast scan as the answer: what every system must beat."""
    return Candidate(
        label="identity", kind="identity", answer=lambda case, target, phase: Prediction(hu=case.source.hu)
    )


def candidates(
    packages: Mapping[str, ModelPackage],
    *,
    ceilings: Mapping[str, Path] | None = None,
    sampling: Sampling | None = None,
    tell: Mapping[str, float | None] | None = None,
    device: str = "auto",
) -> list[Candidate]:
    """Identity, each package, the same told values of the case, its samples' mean where it can sample, and its autoencoder.

    Parameters
    ----------
    packages
        Label → package.
    ceilings
        Label of a package → folder of the run it comes from, which keeps the autoencoder as stage 1 left it.
    sampling
        How systems are sampled; those that cannot be are left out, unless it names a kind.
    tell
        Values that systems which heed them are told, such as ``seconds``: an answer that knows of the target what no native scan tells.
        Name → what it is said to be in every case; ``None``: what the case says.

    Raises
    ------
    TrainError
        ``ceiling_unknown``, ``ceiling_missing``, ``ceiling_differs``, ``tell_unheeded``.
    PackageError
        A package is damaged.
    """
    ceilings, tell = ceilings or {}, tell or {}
    heeded = sorted({name for package in packages.values() for name in package.metadata.heeded})
    for name in tell:
        if name not in heeded:
            raise TrainError(
                "tell_unheeded",
                f"No package heeds {name!r} (known: {', '.join(heeded) or 'none'}).",
                "Leave --tell out, or name a package that was trained with the value; the mean of several is told nothing.",
            )
    for label in ceilings:
        if label not in packages:
            raise TrainError(
                "ceiling_unknown",
                f"--ceiling names {label!r}, which is none of the packages ({', '.join(packages)}).",
                "Use the label of the package that was trained in that run.",
            )
    table = [identity()]
    for label, package in packages.items():
        translator = Translator.load(package.path, device=device, refuse_answers=False)
        system = package.build(device=translator.device)
        phases = package.metadata.phases
        table.append(
            Candidate(label=label, kind="model", answer=_answer(translator), identity=package.identity, phases=phases)
        )
        own = {name: value for name, value in tell.items() if name in package.metadata.heeded}
        if own:
            told = " and ".join(name if value is None else f"{name}={value:g}" for name, value in own.items())
            table.append(
                Candidate(
                    label=f"{label}, told {told}",
                    kind="model",
                    answer=_answer(translator, tell=own),
                    identity=f"{package.identity}, told {told}",
                    phases=phases,
                )
            )
        if sampling is not None and (system.traits.samples or sampling.kind is not None):
            settled = translator.settled(sampling)
            table.append(
                Candidate(
                    label=f"{label}, mean of {sampling.samples}",
                    kind="samples",
                    answer=_answer(translator, settled),
                    identity=f"{package.identity}, {settled.samples} samples of {settled.steps} steps",
                    phases=phases,
                )
            )
        if system.ceiling is not None:
            table.append(_autoencoder(label, package, system, ceilings.get(label), translator.device))
        elif label in ceilings:
            raise TrainError(
                "ceiling_differs", f"{label} has no autoencoder: it is a {package.metadata.system}.", "Leave it out."
            )
    return table


def ensemble(label: str, packages: Sequence[ModelPackage], *, device: str = "auto") -> Candidate:
    """Mean of several packages' answers, and their standard deviation.

    Raises
    ------
    TranslationError
        ``ensemble_differs`` when they have no phase in common.
    """
    members = Ensemble([Translator.load(package.path, device=device, refuse_answers=False) for package in packages])
    identities = " + ".join(package.identity for package in packages)
    answer = _answer(members, Sampling(kind="ensemble"))
    return Candidate(label=label, kind="samples", answer=answer, identity=identities, phases=members.phases)


def stage_one(run: Path, like: System) -> System:
    """The system of ``run`` as its ceiling stage left it, on the device of ``like``, the package made from that run.

    Raises
    ------
    TrainError
        ``ceiling_missing`` when the run keeps no such weights, ``ceiling_differs`` when they are of another network.
    """
    path = _stage_one(run, like)
    if not path.is_file() or not (run / "config.yaml").is_file():
        raise TrainError(
            "ceiling_missing",
            f"{run} has no {path.name}: the autoencoder as stage 1 left it.",
            "Name the run's folder; runs keep these weights when stage 1 ends.",
        )
    try:
        config = read_document(run / "config.yaml").values
        system = build_system(config["system"], config["network"])
        system.load_shipped(load_file(path))
    except (DocumentError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise TrainError(
            "ceiling_differs", f"{path} cannot be loaded: {error}", "Name the run that wrote both."
        ) from error
    system.strip()
    if system.name != like.name or _shapes(system) != _shapes(like):
        raise TrainError(
            "ceiling_differs",
            f"The autoencoder of {run} is another one than the package's.",
            "Name the run that the package came from.",
        )
    return system.eval().requires_grad_(False).to(next(like.parameters()).device)


def _stage_one(run: Path, system: System) -> Path:
    return run / f"{system.ceiling}.safetensors"


def _shapes(system: System) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in system.shipped().items()}


def _still_bounds(system: System) -> bool:
    """Whether no stage after its ceiling stage trains the same parameters."""
    with torch.device("meta"):
        whole = build_system(system.name, system.config.model_dump())
    trained = {
        stage.name: {id(p) for player in whole.players(stage.name) for p in player.parameters} for stage in whole.stages
    }
    names = list(trained)
    later = names[names.index(str(system.ceiling)) + 1 :]
    return all(trained[name].isdisjoint(trained[str(system.ceiling)]) for name in later)


def _autoencoder(
    label: str, package: ModelPackage, shipped: System, run: Path | None, device: torch.device
) -> Candidate:
    """The stage-1 autoencoder where it is known to be one; else the shipped one under a name that claims no bound."""
    if run is not None:
        return Candidate(
            label=f"{label}: autoencoder ceiling",
            kind="ceiling",
            answer=_reconstruct(package, stage_one(run, shipped), device),
            identity=f"{package.identity}, stage 1 {sha256_of(_stage_one(run, shipped))[:12]}",
            phases=package.metadata.phases,
        )
    untouched = _still_bounds(shipped)
    return Candidate(
        label=f"{label}: autoencoder ceiling" if untouched else f"{label}: shipped autoencoder",
        kind="ceiling" if untouched else "autoencoder",
        answer=_reconstruct(package, shipped, device),
        identity=package.identity,
        phases=package.metadata.phases,
    )


def _answer(
    model: Translator | Ensemble, sampling: Sampling = OWN, *, tell: Mapping[str, float | None] | None = None
) -> Answer:
    times = model.metadata.times if isinstance(model, Translator) else None

    def own(case: EvaluationCase, phase: str, name: str) -> float:
        """What the case says; NaN where it says nothing, or a time that the package cannot be asked for."""
        found = case.values(phase).get(name, np.nan)
        return np.nan if name == NAME and times is not None and not times.covers(found) else found

    def answer(case: EvaluationCase, target: Volume, phase: str) -> Prediction:
        known = {name: own(case, phase, name) if value is None else value for name, value in (tell or {}).items()}
        found = model.translate(case.source, phase=phase, values=known, sampling=sampling)
        return Prediction(
            hu=found.volume.hu,
            deviation_hu=None if found.spread is None else found.spread.hu,
            refusal="" if found.doubt is None else found.doubt.sentence,
        )

    return answer


def _reconstruct(package: ModelPackage, system: System, device: torch.device) -> Answer:
    def answer(case: EvaluationCase, target: Volume, phase: str) -> Prediction:
        condition = Condition(phase=torch.tensor([package.metadata.phases.index(phase)]))

        @torch.inference_mode()
        def predict(unit: torch.Tensor, to_model: Callable[[np.ndarray], torch.Tensor]) -> torch.Tensor:
            pair = Batch(images={"source": unit, "target": to_model(target.hu)}, condition=condition)
            change = system.view(str(system.ceiling), pair.to(device), How(tile=TILE))
            if change is None:
                raise TypeError(f"{system.name} shows nothing in its ceiling stage {system.ceiling}")
            return change

        return Prediction(hu=add_change(case.source, predict, metadata=package.metadata).volume.hu)

    return answer
