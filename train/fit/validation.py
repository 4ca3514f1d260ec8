"""Metrics and pictures on the store's validation split while a run goes on, with the averaged weights.

What the answer is in a stage is the system's to say: S2LDM decodes the true target while its autoencoder is trained. Volumes are compared
in the model's window and on its grid; ``s2ldm-train evaluate`` measures the product's own way.
"""

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from s2ldm_core.body import body_mask
from s2ldm_core.intensity import unit_change_to_hu, unit_to_window
from s2ldm_core.systems import Batch, How, System
from s2ldm_core.tiling import TILE
from train.config import FitConfig
from train.crops import condition, middle, whole_case
from train.errors import TrainError
from train.fit.pictures import comparison
from train.metrics import mae_hu, psnr
from train.store import Case, pairs_of

ORGANS = ("aorta", "liver", "spleen", "renal_cortex", "portal_vein")
_LEAST_TRUE_HU = 5.0


class Validation:
    """The first cases of the validation split, shared by the processes."""

    def __init__(self, config: FitConfig, *, phases: tuple[str, ...]) -> None:
        self._config, self._phases = config, phases
        try:
            store = pairs_of(config.data, "validation")
        except TrainError as error:
            if error.code != "split_empty":
                raise
            self.cases: list[Case] = []
        else:
            self.cases = [store[i] for i in range(min(len(store), config.validation.cases))]

    def due(self, *, step: int, seconds_before: float, seconds: float) -> bool:
        """Whether the step that took the stage from ``seconds_before`` to ``seconds``, and to ``step`` steps, crossed an interval."""
        if not self.cases:
            return False
        every = self._config.validation
        if every.steps is not None and step % every.steps == 0:
            return True
        return every.minutes is not None and int(seconds / (60 * every.minutes)) > int(
            seconds_before / (60 * every.minutes)
        )

    @torch.no_grad()
    def scores(
        self, system: System, *, stage: str, device: torch.device, rank: int = 0, processes: int = 1
    ) -> tuple[list[dict[str, float]], dict[str, np.ndarray]]:
        """Scores of this process's cases and phases, a dictionary each, and pictures ``(rows, columns, 3)`` by name."""
        scores, pictures = [], {}
        for case in self.cases[rank::processes]:
            for index, phase in enumerate(self._phases):
                if phase not in case.changes:
                    continue
                volumes = self._volumes(system, case, phase, index, stage=stage, device=device)
                if volumes is None:
                    return [], {}
                native, target, answer = volumes
                scores.append(
                    _scores(
                        native,
                        target,
                        answer,
                        case=case,
                        part=middle(case, self._config.validation.slices),
                        phase=phase,
                    )
                )
                pictures[f"{phase}/{case.name}"] = comparison(
                    native,
                    target,
                    answer,
                    spacing_mm=case.spacing_mm,
                    window_hu=self._config.data.window_hu,
                    phase=phase,
                )
        return scores, pictures

    def _volumes(
        self, system: System, case: Case, phase: str, index: int, *, stage: str, device: torch.device
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """(native, target, answer) in HU, ``(D, H, W)``, within the window but for the change; ``None``: nothing to compare."""
        window = self._config.data.window_hu
        source, change = whole_case(case, phase=phase, window_hu=window, slices=self._config.validation.slices)
        pair = Batch(images={"source": source, "change": change}, condition=condition([(index, case.values(phase))]))
        predicted = system.view(stage, pair.to(device), How(generator=torch.Generator().manual_seed(0), tile=TILE))
        if predicted is None:
            return None
        native = unit_to_window(source[0, 0], window_hu=window)

        def added(difference: Tensor) -> np.ndarray:
            return (native + unit_change_to_hu(difference[0, 0].float().cpu(), window_hu=window)).numpy()

        return native.numpy(), added(change), added(predicted)


def summary(scores: list[dict[str, float]]) -> dict[str, float]:
    """Means over cases; an organ's recovery is the mean predicted over the mean true change."""
    gathered: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        for name, value in score.items():
            gathered[name].append(value)
    means = {name: float(np.mean(values)) for name, values in gathered.items()}
    result = {name: value for name, value in means.items() if "/true/" not in name and "/predicted/" not in name}
    for name, true in means.items():
        phase, _, organ = name.partition("/true/")
        if organ and abs(true) >= _LEAST_TRUE_HU:
            result[f"{phase}/recovery/{organ}"] = means[f"{phase}/predicted/{organ}"] / true
    return result


def _scores(
    native: np.ndarray, target: np.ndarray, answer: np.ndarray, *, case: Case, part: slice, phase: str
) -> dict[str, float]:
    body = body_mask(native, case.spacing_mm)
    if not body.any():
        body = np.ones_like(body)
    result = {
        f"{phase}/psnr_db": min(99.0, psnr(answer, target)),
        f"{phase}/identity_psnr_db": min(99.0, psnr(native, target)),
        f"{phase}/mae_body_hu": mae_hu(answer, target, where=body),
    }
    if case.labels is not None:
        labels = case.labels[part]
        for organ in ORGANS:
            where = labels == case.organs.get(organ, -1)
            if where.any():
                result[f"{phase}/true/{organ}"] = float((target - native)[where].mean())
                result[f"{phase}/predicted/{organ}"] = float((answer - native)[where].mean())
    return result
