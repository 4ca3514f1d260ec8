"""Image metrics of a synthetic phase against the acquired one. Arrays are ``(D, H, W)`` HU of one grid.

The range is fixed by the window and never taken from an image; values are clipped to the window before PSNR, SSIM, NMAE and NMSE, and SSIM
sees data on [0, R].
"""

from train.metrics.gradient import gradient_error
from train.metrics.noise_power import NoisePower, Regions, homogeneous_regions, noise_power, noise_power_distance
from train.metrics.organs import enhancement, organ_cores, organ_means, organ_voxels, recovery
from train.metrics.structure import StructuralSimilarity, structural_similarity
from train.metrics.voxelwise import VoxelErrors, mae_hu, psnr, voxel_errors
from train.metrics.window import PAPER_WINDOW_HU, Window

__all__ = [
    "PAPER_WINDOW_HU",
    "NoisePower",
    "Regions",
    "StructuralSimilarity",
    "VoxelErrors",
    "Window",
    "enhancement",
    "gradient_error",
    "homogeneous_regions",
    "mae_hu",
    "noise_power",
    "noise_power_distance",
    "organ_cores",
    "organ_means",
    "organ_voxels",
    "psnr",
    "recovery",
    "structural_similarity",
    "voxel_errors",
]
