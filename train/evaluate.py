"""Systems side by side on held-out phantoms, at a scanner's own grid and with independent noise in every phase.

Every system goes through the product's own way (resample, predict, bring back, add), so the numbers are those of the derived series. The
identity baseline (the non-contrast scan as the answer) and the autoencoder's ceiling are always in the table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from s2ldm_core.body import body_mask
from s2ldm_core.package import ModelPackage
from s2ldm_core.phantom import ORGANS, Phantom
from s2ldm_core.systems.s2ldm import S2LDM
from s2ldm_core.translator import Translator, add_change
from s2ldm_core.volume import Volume
from train.metrics import enhancement, mae_hu, psnr, ssim_axial

RECOVERY_ORGANS = ("aorta", "liver", "spleen", "renal_cortex", "portal_vein")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The held-out scans: seeds and the scanner's grid."""

    seeds: tuple[int, ...]
    matrix: tuple[int, int] = (512, 512)
    slices: int = 64
    spacing_mm: tuple[float, float, float] = (2.5, 0.78, 0.78)

    def phantom(self, seed: int) -> Phantom:
        return Phantom(seed=seed, matrix=self.matrix, slices=self.slices, spacing_mm=self.spacing_mm)


@dataclass
class Scores:
    """Sums over cases for one system and phase."""

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    mae: list[float] = field(default_factory=list)
    organs: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def summary(self) -> dict[str, Any]:
        """Means over cases; recovery is the mean predicted change over the mean true change."""
        recovery = {
            organ: round(float(np.mean([p for p, _ in pairs]) / np.mean([t for _, t in pairs])), 3)
            for organ, pairs in self.organs.items()
            if abs(np.mean([t for _, t in pairs])) > 1.0
        }
        return {
            "psnr_db": round(float(np.mean(self.psnr)), 2),
            "ssim": round(float(np.mean(self.ssim)), 4),
            "mae_body_hu": round(float(np.mean(self.mae)), 2),
            "enhancement_recovered": recovery,
        }


Answer = Callable[[Volume, Volume, str], Volume]
"""(source, target, phase) → the system's synthetic volume; only the ceiling looks at the target."""


def answers(packages: dict[str, ModelPackage], *, device: str = "auto") -> dict[str, Answer]:
    """Identity, each package, and the autoencoder ceiling of the S2LDM packages among them."""
    table: dict[str, Answer] = {"identity": lambda source, target, phase: source}
    for label, package in packages.items():
        translator = Translator.load(package.path, device=device)
        table[label] = _translate(translator)
        system = package.build(device=translator.device)
        if isinstance(system, S2LDM):
            table[f"{label}: autoencoder ceiling"] = _ceiling(package, system, translator.device)
    return table


def evaluate(
    held_out: HeldOut, systems: dict[str, Answer], *, phases: tuple[str, ...], on_case: Callable[[str], None] | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """``{phase: {system: summary}}`` over all held-out scans."""
    scores: dict[str, dict[str, Scores]] = {p: {name: Scores() for name in systems} for p in phases}
    for seed, phase, source, target, labels in _scans(held_out, phases):
        body = body_mask(source.hu, source.spacing_mm)
        for name, answer in systems.items():
            prediction = answer(source, target, phase).hu
            score = scores[phase][name]
            score.psnr.append(psnr(prediction, target.hu))
            score.ssim.append(ssim_axial(prediction, target.hu))
            score.mae.append(mae_hu(prediction, target.hu, where=body))
            for organ in RECOVERY_ORGANS:
                where = labels == ORGANS[organ]
                predicted = enhancement(prediction, source.hu, where=where)
                true = enhancement(target.hu, source.hu, where=where)
                if predicted is not None and true is not None:
                    score.organs[organ].append((predicted, true))
        if on_case is not None:
            on_case(f"seed {seed}, {phase}")
    return {p: {name: score.summary() for name, score in rows.items()} for p, rows in scores.items()}


def markdown(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The table as Markdown."""
    organs = " | ".join(organ.replace("_", " ") for organ in RECOVERY_ORGANS)
    lines = [
        f"| phase | system | PSNR [-200, 200] dB | SSIM 2D | MAE body HU | {organs} |",
        "|---" * (5 + len(RECOVERY_ORGANS)) + "|",
    ]
    for phase, rows in results.items():
        for name, row in rows.items():
            recovered = [row["enhancement_recovered"].get(organ) for organ in RECOVERY_ORGANS]
            cells = [phase, name, f"{row['psnr_db']:.2f}", f"{row['ssim']:.4f}", f"{row['mae_body_hu']:.2f}"]
            lines.append("| " + " | ".join(cells + ["–" if r is None else f"{r:.2f}" for r in recovered]) + " |")
    return "\n".join(lines)


def _scans(held_out: HeldOut, phases: tuple[str, ...]) -> Iterator[tuple[int, str, Volume, Volume, np.ndarray]]:
    for seed in held_out.seeds:
        phantom = held_out.phantom(seed)
        source = Volume(hu=phantom.hu("native", noise_seed=2 * seed), affine=phantom.affine)
        for number, phase in enumerate(phases):
            noise_seed = 2 * seed + 1 + 10_000_000 * (number + 1)
            yield seed, phase, source, source.with_hu(phantom.hu(phase, noise_seed=noise_seed)), phantom.labels


def _translate(translator: Translator) -> Answer:
    return lambda source, target, phase: translator.translate(source, phase=phase).volume


def _ceiling(package: ModelPackage, system: S2LDM, device: torch.device) -> Answer:
    def answer(source: Volume, target: Volume, phase: str) -> Volume:
        @torch.inference_mode()
        def predict(unit: torch.Tensor, to_model: Callable[[np.ndarray], torch.Tensor]) -> torch.Tensor:
            return system.reconstruct_change(unit.to(device), to_model(target.hu).to(device), tile=(16, 48, 48))

        return add_change(source, predict, metadata=package.metadata)

    return answer
