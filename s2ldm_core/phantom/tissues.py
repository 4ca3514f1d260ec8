"""Tissues of the phantom: label ids, native HU and the enhancement of the reference patient.

Native values and enhancement are literature means for a 75 kg adult, 120 kV, about 500 mg iodine per kg at 3-4 mL/s.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """One tissue of the label map.

    native_hu, native_spread_hu: mean and patient-to-patient standard deviation without contrast, HU.
    texture_hu: amplitude of the structure inside the tissue (the same in every phase), HU.
    enhancement_hu: mean enhancement at 35, 72 and 180 s after the start of the injection, HU.
    mottle: relative inhomogeneity of the early enhancement (moiré of the spleen, unmixed blood).
    """

    label: int
    name: str
    native_hu: float
    native_spread_hu: float = 0.0
    texture_hu: float = 0.0
    enhancement_hu: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mottle: float = 0.0


# label, name, native, spread, texture, (35 s, 72 s, 180 s), mottle.  Ids are stored in label maps: append only.
_ROWS: Final = (
    (0, "air", -1000, 0, 0, (0, 0, 0), 0),
    (1, "table_shell", 20, 130, 10, (0, 0, 0), 0),
    (2, "table_foam", -930, 15, 3, (0, 0, 0), 0),
    (3, "skin", 15, 10, 5, (4, 10, 12), 0),
    (4, "subcutaneous_fat", -106, 3, 5, (0.3, 1, 1), 0),
    (5, "visceral_fat", -100, 3, 7, (0.5, 1.5, 1.5), 0),
    (6, "mediastinal_fat", -95, 4, 8, (0.5, 1.5, 1.5), 0),
    (7, "intermuscular_fat", -86, 7, 12, (0.5, 2, 2), 0),
    (8, "clothing", -750, 60, 60, (0, 0, 0), 0),
    (10, "psoas", 52, 4, 6, (5, 12, 14), 0.1),
    (11, "iliacus", 51, 4, 7, (5, 12, 14), 0.1),
    (12, "paraspinal", 47, 5, 16, (5, 12, 14), 0.1),
    (13, "quadratus_lumborum", 49, 4, 9, (5, 12, 14), 0.1),
    (14, "rectus_abdominis", 48, 5, 9, (5, 12, 14), 0.1),
    (15, "oblique_muscles", 46, 5, 14, (5, 12, 14), 0.1),
    (16, "intercostal", 40, 6, 18, (5, 12, 14), 0.1),
    (17, "diaphragm", 48, 4, 6, (7, 15, 15), 0.1),
    (18, "pectoral", 49, 5, 9, (5, 12, 14), 0.1),
    (19, "latissimus", 48, 5, 10, (5, 12, 14), 0.1),
    (20, "trapezius", 48, 5, 10, (5, 12, 14), 0.1),
    (21, "gluteal", 47, 6, 14, (4, 10, 14), 0.1),
    (22, "thigh_muscle", 51, 4, 8, (4, 10, 14), 0.1),
    (23, "shoulder_muscle", 50, 5, 9, (5, 12, 14), 0.1),
    (24, "arm_muscle", 52, 4, 7, (5, 12, 14), 0.1),
    (25, "neck_muscle", 53, 4, 7, (6, 13, 14), 0.1),
    (30, "cortical_bone", 620, 90, 110, (2, 5, 5), 0),
    (31, "vertebral_marrow", 165, 0, 30, (4, 9, 9), 0),
    (32, "pelvic_marrow", 125, 25, 28, (3, 7, 8), 0),
    (33, "disc", 85, 10, 8, (0.5, 1.5, 3), 0),
    (34, "csf", 12, 2, 2, (0, 0, 0), 0),
    (35, "spinal_cord", 36, 2, 2, (2, 4, 4), 0),
    (36, "cartilage", 85, 15, 20, (1, 2, 3), 0),
    (37, "rib_marrow", 140, 30, 40, (4, 8, 8), 0),
    (38, "long_bone_marrow", -20, 30, 25, (1, 2, 2), 0),
    (40, "lung", -850, 25, 18, (18, 12, 9), 0.1),
    (41, "pulmonary_artery", 43, 0, 2, (200, 110, 66), 0.04),
    (42, "pulmonary_vein", 43, 0, 2, (255, 111, 66), 0.03),
    (43, "airway", -985, 5, 2, (0, 0, 0), 0),
    (44, "airway_wall", 15, 15, 10, (15, 25, 22), 0),
    (45, "myocardium", 46, 2, 3, (66, 62, 38), 0.07),
    (46, "left_atrium", 43, 0, 2, (255, 110, 66), 0.03),
    (47, "left_ventricle", 43, 0, 2, (258, 110, 66), 0.03),
    (48, "right_atrium", 43, 0, 2, (165, 107, 65), 0.22),
    (49, "right_ventricle", 43, 0, 2, (180, 108, 65), 0.1),
    (52, "oesophagus", 38, 4, 6, (20, 38, 28), 0.1),
    (53, "thyroid", 100, 16, 10, (65, 60, 35), 0.1),
    (54, "coronary_artery", 40, 3, 2, (220, 105, 62), 0.05),
    (55, "breast_gland", 25, 12, 25, (10, 22, 25), 0.2),
    (56, "nodule", 25, 25, 12, (20, 35, 35), 0.2),
    (57, "consolidation", 25, 12, 25, (45, 70, 50), 0.15),
    (58, "pleural_effusion", 10, 5, 2, (0, 0.5, 2), 0),
    (59, "lymph_node", 38, 5, 4, (22, 48, 42), 0.1),
    (60, "dependent_lung", -640, 60, 70, (30, 25, 18), 0.1),
    (65, "aorta", 43, 0, 2, (275, 117, 68), 0.02),
    (67, "supra_aortic_artery", 43, 0, 2, (270, 116, 68), 0.03),
    (68, "visceral_artery", 43, 0, 2, (265, 116, 68), 0.03),
    (69, "renal_artery", 43, 0, 2, (265, 116, 68), 0.03),
    (70, "iliac_artery", 43, 0, 2, (262, 118, 68), 0.03),
    (71, "femoral_artery", 43, 0, 2, (235, 122, 68), 0.03),
    (72, "calcification", 420, 120, 60, (0, 0, 0), 0),
    (73, "vessel_wall", 40, 4, 4, (8, 15, 15), 0),
    (75, "svc", 43, 0, 2, (230, 108, 66), 0.3),
    (76, "brachiocephalic_vein_left", 43, 0, 2, (420, 105, 65), 0.25),
    (77, "brachiocephalic_vein_right", 43, 0, 2, (45, 102, 65), 0.2),
    (78, "ivc_suprarenal", 43, 0, 2, (78, 100, 66), 0.2),
    (79, "ivc_infrarenal", 43, 0, 2, (9, 68, 65), 0.12),
    (80, "portal_vein", 43, 0, 2, (55, 128, 74), 0.08),
    (81, "splenic_vein", 43, 0, 2, (78, 126, 73), 0.06),
    (82, "superior_mesenteric_vein", 43, 0, 2, (45, 129, 74), 0.08),
    (83, "hepatic_vein", 43, 0, 2, (14, 116, 74), 0.06),
    (84, "renal_vein", 43, 0, 2, (112, 124, 78), 0.05),
    (85, "iliac_vein", 43, 0, 2, (4, 42, 64), 0.1),
    (86, "femoral_vein", 43, 0, 2, (2, 25, 60), 0.1),
    (87, "mesenteric_vein", 43, 0, 2, (42, 128, 73), 0.05),
    (88, "mesenteric_artery", 43, 0, 2, (255, 116, 68), 0.03),
    (89, "jugular_vein", 43, 0, 2, (60, 125, 68), 0.15),
    (95, "liver", 56, 0, 4, (13, 56, 36), 0.06),
    (96, "gallbladder_wall", 35, 5, 4, (20, 38, 32), 0),
    (97, "bile", 8, 5, 1.5, (0, 0, 0), 0),
    (98, "spleen", 46, 6, 3, (73, 72, 44), 0.24),
    (99, "renal_cortex", 30, 7, 2, (138, 155, 108), 0.08),
    (100, "renal_medulla", 31, 3, 3, (36, 130, 122), 0.14),
    (101, "renal_sinus_fat", -70, 15, 22, (2, 4, 4), 0),
    (102, "renal_pelvis", 8, 4, 2, (0, 0, 60), 0),
    (103, "adrenal", 25, 12, 4, (42, 48, 28), 0.1),
    (104, "pancreas", 36, 8, 12, (60, 52, 32), 0.12),
    (105, "stomach_wall", 40, 4, 6, (40, 54, 38), 0.15),
    (106, "stomach_content", 22, 18, 18, (0, 0, 0), 0),
    (107, "bowel_gas", -950, 30, 10, (0, 0, 0), 0),
    (108, "small_bowel_wall", 42, 5, 6, (42, 56, 36), 0.15),
    (109, "small_bowel_content", 20, 12, 12, (0, 0, 0), 0),
    (110, "colon_wall", 38, 5, 6, (28, 48, 36), 0.15),
    (111, "stool", 20, 25, 65, (0, 0, 0), 0),
    (112, "oral_contrast", 230, 70, 40, (0, 0, 0), 0),
    (113, "bladder_wall", 36, 4, 4, (10, 28, 30), 0.1),
    (114, "urine", 6, 4, 1, (0, 0, 8), 0),
    (115, "prostate", 40, 4, 5, (18, 45, 48), 0.2),
    (116, "uterus", 45, 4, 6, (28, 62, 60), 0.25),
    (117, "pelvic_soft_tissue", 36, 5, 12, (12, 32, 32), 0.15),
    (119, "ureter", 25, 4, 3, (4, 12, 30), 0),
    (125, "hypervascular_lesion", 46, 6, 5, (62, 44, 22), 0.2),
    (126, "hypovascular_lesion", 36, 6, 5, (6, 24, 26), 0.2),
    (127, "cyst", 7, 5, 1, (0, 0, 0), 0),
    (128, "haemangioma", 40, 4, 4, (35, 75, 72), 0.35),
    (129, "renal_tumour", 36, 5, 7, (85, 75, 50), 0.35),
    (130, "ascites", 9, 4, 1, (0, 0.5, 2), 0),
    (135, "metal", 3000, 300, 50, (0, 0, 0), 0),
    (136, "plastic", 120, 60, 5, (0, 0, 0), 0),
)

TISSUES: Final = MappingProxyType(
    {
        name: Tissue(
            label=label,
            name=name,
            native_hu=native,
            native_spread_hu=spread,
            texture_hu=texture,
            enhancement_hu=enhancement,
            mottle=mottle,
        )
        for label, name, native, spread, texture, enhancement, mottle in _ROWS
    }
)
"""Every tissue by name."""

ORGANS: Final = MappingProxyType({name: tissue.label for name, tissue in TISSUES.items()})
"""Label id of every tissue by name; ids never change between versions."""

PHASE_SECONDS: Final = MappingProxyType({"native": 0.0, "arterial": 35.0, "venous": 72.0, "delayed": 180.0})
"""Nominal seconds after the start of the injection; a patient's own scan differs by a few seconds."""

#: Stomach and bowel with what is in them.
HOLLOW: Final = (
    "small_bowel_wall",
    "small_bowel_content",
    "colon_wall",
    "stool",
    "bowel_gas",
    "oral_contrast",
    "stomach_wall",
    "stomach_content",
)
MUSCLES: Final = tuple(name for name, tissue in TISSUES.items() if 10 <= tissue.label < 30)
BLOOD: Final = tuple(
    name for name, tissue in TISSUES.items() if tissue.native_hu == 43 and tissue.native_spread_hu == 0
)
