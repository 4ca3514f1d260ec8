"""The diffusion systems at a size that takes seconds."""

from typing import Any

TINY: dict[str, dict[str, Any]] = {
    "aldm": {
        "autoencoder": {
            "channels": (4, 6),
            "blocks": (1, 1),
            "latent": 3,
            "codes": 16,
            "discriminator_channels": 4,
            "discriminator_layers": 1,
        },
        "spade": {"channels": (4,), "hidden": 4},
        "diffusion": {"channels": (8,), "steps": 2},
        "loss": {"start": 0.0},
    },
    "ccdm": {"channels": (8, 12), "steps": 2},
    "cdm": {
        "region": (8, 32, 32),
        "patch": (4, 16, 16),
        "width": 12,
        "layers": 1,
        "heads": 1,
        "mdn_width": 8,
        "mdn_blocks": 1,
        "channels": (8,),
        "steps": 2,
    },
    "cmdm": {
        "prior": {
            "system": "unet",
            "network": {"channels": (4, 4), "blocks": (1, 1), "core_channels": (4, 4), "latent": 2},
        },
        "channels": (8,),
        "steps": 2,
        "paths": 2,
    },
}
"""Smallest networks."""

LATENT_CMDM: dict[str, Any] = {
    "prior": {
        "system": "s2ldm",
        "network": {
            "autoencoder": {"kind": "plain", "channels": (4, 4), "blocks": (1, 1), "latent": 2},
            "diffusion": {"channels": (4,)},
            "stages": ("autoencoder", "diffusion"),
        },
    },
    "space": "latent",
    "channels": (8,),
    "steps": 2,
    "paths": 2,
}
"""CMDM in latents, likewise."""
