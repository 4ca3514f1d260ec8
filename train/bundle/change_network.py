"""The network of a model package as MONAI's tools call networks: one image in, one prediction out."""

from pathlib import Path

import torch
from torch import Tensor, nn

from s2ldm_core.package import ModelPackage
from s2ldm_core.systems import Condition, How


class ChangeNetwork(nn.Module):
    """``(B, 1, D, H, W)`` non-contrast CT on the model's grid, its window mapped to [-1, 1] → predicted change of ``phase``, same units.

    The answer is deterministic. Resampling, window and the protection of bone, lung and air are the translator's part: see inference.json.
    """

    def __init__(self, package: str | Path, *, phase: str) -> None:
        super().__init__()
        loaded = ModelPackage.load(package)
        self.system = loaded.build()
        self.phase = loaded.metadata.phases.index(phase)

    def forward(self, image: Tensor) -> Tensor:
        phase = torch.full((image.shape[0],), self.phase, device=image.device)
        how = How(generator=torch.Generator().manual_seed(0))
        return self.system.predict_change(image, Condition(phase=phase), how).float()
