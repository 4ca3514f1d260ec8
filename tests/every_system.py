"""The smallest network of each system of the registry: for tests that go over all of them."""

from pathlib import Path
from typing import Any

import torch

from s2ldm_core.package import save_package
from s2ldm_core.systems import build_system
from tests.adversarial_systems import TINY as ADVERSARIAL
from tests.diffusion_systems import TINY as DIFFUSION

SMALLEST: dict[str, dict[str, Any]] = {
    **ADVERSARIAL,
    **DIFFUSION,
    "ensemble": {
        "members": [
            {
                "system": "unet",
                "share": 0.75,
                "network": {"channels": (4, 4), "blocks": (1, 1), "core_channels": (4, 4), "latent": 2},
            },
            {"system": "pix2pix", "share": 0.25, "network": ADVERSARIAL["pix2pix"]},
        ]
    },
    "monai_network": {
        "arguments": {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "features": [4, 4, 4, 4, 4, 4]}
    },
    "s2ldm": {"autoencoder": {"channels": (4, 4), "blocks": (1, 1), "latent": 2}, "diffusion": {"channels": (4, 4)}},
    "unet": {"channels": (4, 4), "blocks": (1, 1), "core_channels": (4, 4), "core_blocks": 1, "latent": 2},
}
"""Networks by system."""


def write_untrained(name: str, folder: Path) -> Path:
    """A package of the system ``name`` with seeded weights that change something; returns ``folder``."""
    torch.manual_seed(1)
    system = build_system(name, SMALLEST[name]).eval()
    with torch.no_grad():  # heads that begin at zero would answer with the source
        for parameter in system.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    save_package(
        folder,
        system=system,
        metadata={
            "name": name,
            "version": "0",
            "window_hu": (-200.0, 500.0),
            "spacing_mm": (5.0, 6.0, 6.0),
            "min_slices": 2,
            "intended_use": "tests",
            "training_data": {"source": "nothing"},
            "metrics": {},
        },
    )
    return folder
