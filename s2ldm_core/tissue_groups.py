"""Tissues in groups that a radiologist tells apart by how they take up contrast: what an auxiliary head learns to name."""

from typing import Final

import torch
from torch import Tensor

from s2ldm_core.phantom.tissues import MUSCLES, ORGANS

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "fat": (
        "subcutaneous_fat",
        "visceral_fat",
        "mediastinal_fat",
        "intermuscular_fat",
        "renal_sinus_fat",
        "skin",
    ),
    "muscle": MUSCLES,
    "bone": (
        "cortical_bone",
        "vertebral_marrow",
        "pelvic_marrow",
        "disc",
        "cartilage",
        "rib_marrow",
        "long_bone_marrow",
    ),
    "lung": ("lung", "airway", "dependent_lung", "bowel_gas", "consolidation"),
    "artery": (
        "aorta",
        "supra_aortic_artery",
        "visceral_artery",
        "renal_artery",
        "iliac_artery",
        "femoral_artery",
        "mesenteric_artery",
        "coronary_artery",
    ),
    "pulmonary_vessel": ("pulmonary_artery", "pulmonary_vein"),
    "left_heart": ("left_atrium", "left_ventricle"),
    "right_heart": ("right_atrium", "right_ventricle"),
    "myocardium": ("myocardium",),
    "systemic_vein": (
        "svc",
        "brachiocephalic_vein_left",
        "brachiocephalic_vein_right",
        "ivc_suprarenal",
        "ivc_infrarenal",
        "iliac_vein",
        "femoral_vein",
        "jugular_vein",
        "renal_vein",
    ),
    "portal_vein": ("portal_vein", "splenic_vein", "superior_mesenteric_vein", "mesenteric_vein"),
    "hepatic_vein": ("hepatic_vein",),
    "liver": ("liver",),
    "spleen": ("spleen",),
    "renal_cortex": ("renal_cortex",),
    "renal_medulla": ("renal_medulla",),
    "pancreas": ("pancreas",),
    "adrenal": ("adrenal",),
    "thyroid": ("thyroid",),
    "oesophagus": ("oesophagus", "airway_wall"),
    "bowel_wall": ("stomach_wall", "small_bowel_wall", "colon_wall", "bladder_wall", "gallbladder_wall"),
    "bowel_content": ("stomach_content", "small_bowel_content", "stool", "oral_contrast"),
    "fluid": ("bile", "urine", "pleural_effusion", "ascites", "cyst", "csf", "renal_pelvis", "ureter"),
    "lymph_node": ("lymph_node",),
}
"""Group → labels of the phantom (`s2ldm_core.phantom.ORGANS`); a label in no group is told from none."""

UNNAMED: Final = -1


def group_table() -> Tensor:
    """``(256,)`` long: label → number of its group, or `UNNAMED`."""
    table = torch.full((256,), UNNAMED)
    for number, labels in enumerate(GROUPS.values()):
        table[[ORGANS[label] for label in labels]] = number
    return table
