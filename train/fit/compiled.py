"""Residual blocks as kernels that PyTorch compiles: the small steps of norms and activations, each of which reads and writes whole volumes,
become few."""

from torch import nn

from s2ldm_core.networks.blocks import ResidualBlock

_VARIANTS = 64
"""Of one block, by sizes and types, before PyTorch gives up; its own limit is too few for blocks of so many widths."""


def compile_blocks(network: nn.Module) -> None:
    """Compile each residual block of ``network`` when it is first used."""
    from torch._dynamo import config  # slow to import

    config.recompile_limit = max(config.recompile_limit, _VARIANTS)
    for part in network.modules():
        if isinstance(part, ResidualBlock):
            part.compile(dynamic=False)
