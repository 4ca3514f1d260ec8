"""A deeper network that begins as a shallower one: residual blocks that the other lacks start as the identity (Net2DeeperNet, Chen et al.
2016, arXiv 1511.05641)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from s2ldm_core.networks.blocks import ResidualBlock
from s2ldm_core.systems import System


def grown(weights: Mapping[str, Tensor], system: System) -> dict[str, Tensor]:
    """``weights``, and those of ``system`` for each of its residual blocks of which they hold nothing, its last convolution zero.

    With them ``system`` answers as the network that ``weights`` are of, where that has fewer residual blocks and is otherwise alike.
    """
    own = system.shipped()
    found = dict(weights)
    for name, block in system.named_modules():
        if not isinstance(block, ResidualBlock) or block.skip is not None:
            continue
        of_block = {key: value for key, value in own.items() if key.startswith(f"{name}.")}
        if not of_block.keys() & weights.keys():
            found |= {
                key: torch.zeros_like(value) if key.startswith(f"{name}.conv2.") else value.clone()
                for key, value in of_block.items()
            }
    return found
