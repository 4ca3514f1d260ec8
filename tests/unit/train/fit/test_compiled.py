"""A network's residual blocks are compiled where a run asks for it, and give what they gave."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from s2ldm_core.networks.blocks import ResidualBlock
from tests.tiny_training import fit_config, write_pair
from train.fit import Fit
from train.fit.compiled import compile_blocks


def test_every_block_is_compiled_on_demand_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(ResidualBlock, "compile", lambda block, **options: compiled.append(block))
    write_pair(tmp_path / "store", 0)
    Fit(fit_config(tmp_path / "store", tmp_path / "plain"))
    assert compiled == []
    fit = Fit(fit_config(tmp_path / "store", tmp_path / "compiled", compile=True))
    blocks = [part for part in fit.system.modules() if isinstance(part, ResidualBlock)]
    assert compiled == blocks
    assert len(blocks) > 5


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # asked while it is traced
def test_a_compiled_network_gives_what_it_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced by PyTorch's compiler, and run as it was traced: making kernels takes minutes."""
    real, compiled = nn.Module.compile, []

    def traced(block: nn.Module, **options: Any) -> None:
        compiled.append(block)
        real(block, backend="aot_eager", **options)

    monkeypatch.setattr(ResidualBlock, "compile", traced)
    torch.manual_seed(0)
    network = nn.Sequential(ResidualBlock(4, 4), ResidualBlock(4, 6))
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.3)
    x = torch.randn(2, 4, 3, 6, 6)
    before = network(x)
    before.square().mean().backward()
    gradients = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    network.zero_grad()
    compile_blocks(network)
    assert compiled == list(network)
    torch.testing.assert_close(network(x), before)
    network(x).square().mean().backward()
    for weight, gradient in zip(network.parameters(), gradients, strict=True):
        torch.testing.assert_close(weight.grad, gradient)
