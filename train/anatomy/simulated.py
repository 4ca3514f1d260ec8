"""How much of a voxel of a real native CT can take up contrast medium: what its own HU say about fat, gas, bone and metal."""

import numpy as np
from scipy.ndimage import gaussian_filter

from s2ldm_core.phantom import ORGANS
from s2ldm_core.phantom.fields import SplineField
from s2ldm_core.phantom.patient import stream
from train.anatomy.canvas import MapCanvas

_FAT_HU, _TISSUE_HU = -85.0, 12.0
_BONE_HU = (140.0, 230.0)
_LUNG_HU, _BLOOD_HU, _VESSEL_HU = -850.0, 30.0, -500.0
_NOISE_MM = 1.3
_DENSE = ("cortical_bone", "vertebral_marrow", "pelvic_marrow", "rib_marrow", "long_bone_marrow", "cartilage", "disc")


def enhanced_share(canvas: MapCanvas, ct_hu: np.ndarray, *, seed: int) -> np.ndarray:
    """Share (D, H, W) float32 in 0 .. 1 of each voxel that is soft tissue or blood.

    The label map is never as sharp as the image: fat that a label covers, calcium in an artery's wall, gas in a bowel and the streaks
    of metal must not enhance. So the share falls from 1 at 12 HU to 0 at -85 HU, and from 1 at 140 HU to 0 at 230 HU. Inside the lungs
    what is denser than -500 HU becomes artery or vein on the canvas, its share of the voxel rising from lung's HU to blood's.
    """
    smooth = gaussian_filter(
        ct_hu, [_NOISE_MM / step * (0.5 if step > 2.0 else 1.0) for step in canvas.spacing_mm], truncate=2.5
    )
    share = np.clip((smooth - _FAT_HU) / (_TISSUE_HU - _FAT_HU), 0.0, 1.0)
    dense = np.clip((_BONE_HU[1] - smooth) / (_BONE_HU[1] - _BONE_HU[0]), 0.0, 1.0)
    bone = canvas.is_(*_DENSE)
    dense[bone] = 1.0  # marrow's few HU are in the tissue table
    share *= dense
    lung = canvas.is_("lung")
    vessel = lung & (smooth > _VESSEL_HU)
    canvas.top[vessel] = np.where(
        _venous(canvas, vessel, seed=seed), ORGANS["pulmonary_vein"], ORGANS["pulmonary_artery"]
    )
    share[lung] = 1.0  # the tissue table has the whole lung's few HU
    share[vessel] = np.clip((smooth[vessel] - _LUNG_HU) / (_BLOOD_HU - _LUNG_HU), 0.0, 1.0)
    return share.astype(np.float32)


def _venous(canvas: MapCanvas, vessel: np.ndarray, *, seed: int) -> np.ndarray:
    """(n,) bool for the vessel's n voxels: which are veins, by a smooth random field."""
    field = SplineField(stream(seed, "anatomy lung vessels"), spacing_mm=(25.0, 25.0, 25.0))
    venous: np.ndarray = field.grid(canvas.axes)[0][vessel] > 0
    return venous
