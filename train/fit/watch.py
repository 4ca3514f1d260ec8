"""Early warnings: a codebook that dies, embeddings that collapse, numbers that are not finite."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from s2ldm_core.networks.quantiser import Quantised, VectorQuantiser
from s2ldm_core.systems import System
from train.config import WatchConfig
from train.errors import TrainError


class Alarm(NamedTuple):
    """``code`` in upper snake case, one ``sentence`` with the numbers."""

    code: str
    sentence: str


class Watch:
    """Looks at a system while it is trained, from outside: the quantiser's answers and the parts of the loss."""

    def __init__(self, system: System, config: WatchConfig) -> None:
        self._config = config
        self._hist: Tensor | None = None
        quantisers = [module for module in system.modules() if isinstance(module, VectorQuantiser)]
        self._hooks = [module.register_forward_hook(self._count) for module in quantisers]

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def look(self, parts: Mapping[str, float], *, channels: int | None) -> tuple[dict[str, float], list[Alarm]]:
        """What was measured since the last look, and what is wrong with it.

        ``parts`` of the loss; ``channels`` of the latent: directions spread evenly have a variance of 1 / channels per channel.
        """
        values: dict[str, float] = {}
        warnings = []
        if self._hist is not None:
            hist, self._hist = self._hist, None
            values["codes_share"], values["codes_perplexity"] = codes_in_use(hist)
            if values["codes_share"] < self._config.codes_min:
                warnings.append(
                    Alarm(
                        "CODEBOOK_DYING",
                        f"Only {values['codes_share']:.1%} of the codes are in use (perplexity {values['codes_perplexity']:.1f}): "
                        "the reconstruction will lose detail. A smaller codebook or autoencoder.cosine helps.",
                    )
                )
        if channels is not None and "latent_spread" in parts:
            values["spread"] = parts["latent_spread"] * channels
            if values["spread"] < self._config.spread_min:
                warnings.append(
                    Alarm(
                        "SIMILARITY_COLLAPSED",
                        f"The normalised embeddings point in one direction (relative variance {values['spread']:.2g}): the similarity says "
                        "nothing any more. Lower loss.sim.",
                    )
                )
        return values, warnings

    def _count(self, module: VectorQuantiser, inputs: tuple[Tensor, ...], output: Quantised) -> None:
        if module.training:
            counts = torch.bincount(output.codes.flatten(), minlength=len(module.codebook))
            self._hist = counts if self._hist is None else self._hist + counts


def codes_in_use(hist: Tensor) -> tuple[float, float]:
    """Share of the codes that occur (of as many as there were latents, if fewer), and their perplexity exp(−Σ p log p)."""
    total = int(hist.sum())
    share = int((hist > 0).sum()) / max(1, min(len(hist), total))
    p = hist[hist > 0].double() / max(1, total)
    return share, float(torch.exp(-(p * p.log()).sum()))


def require_finite(loss: float, norm: float, *, parts: Mapping[str, float], stage: str, step: int, run: object) -> None:
    """Stop before a step that would spoil the weights.

    Raises
    ------
    TrainError
        ``loss_not_finite``, naming stage, step and the parts that are not finite.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return
    guilty = [name for name, value in parts.items() if not math.isfinite(value)]
    where = (
        f"parts {', '.join(guilty)}" if guilty else ("the loss itself" if not math.isfinite(loss) else "its gradient")
    )
    raise TrainError(
        "loss_not_finite",
        f"The loss is not finite at step {step} of stage {stage}: {where}.",
        f"The last good checkpoint is in {run}; lower the stage's lr or use precision fp32, then run the same command.",
    )
