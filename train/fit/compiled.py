"""Residual blocks as kernels that PyTorch compiles: on a GPU most of their time goes into reading and writing volumes between the small
steps of norms and activations, which one kernel does at once."""

from torch import nn

from s2ldm_core.networks.blocks import ResidualBlock

_VARIANTS = 64
"""Of one block, by sizes and types, before PyTorch gives up; its own limit is too few for blocks of so many widths."""


def compile_blocks(network: nn.Module) -> int:
    """Compile each residual block of ``network`` when it is first used, a minute in all on a GPU; returns how many there are."""
    from torch._dynamo import config  # slow to import

    config.recompile_limit = max(config.recompile_limit, _VARIANTS)
    blocks = [part for part in network.modules() if isinstance(part, ResidualBlock)]
    for block in blocks:
        block.compile(dynamic=False)
    return len(blocks)
