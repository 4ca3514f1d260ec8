"""A denoiser on folded voxels over a volume of any size: in tiles with an exact halo, or whole."""

from torch import Tensor

from s2ldm_core.networks.folded import FoldedDenoiser
from s2ldm_core.systems.base import How
from s2ldm_core.systems.latent_grid import through_core


def denoised(
    network: FoldedDenoiser,
    source: Tensor,
    *images: Tensor,
    t: Tensor | None,
    phase: Tensor,
    how: How,
    step: str,
    extra: Tensor | None = None,
) -> Tensor:
    """``network`` of images ``(B, 1, D, H, W)`` whose sizes are multiples of ``network.multiple_of``."""

    def core(x: Tensor) -> Tensor:
        return network.core(x, t=t, phase=phase, extra=extra)

    return network.unfolded(through_core(network.core, core, [network.folded(source, *images)], how=how, step=step))
