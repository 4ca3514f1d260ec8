"""What a label's name says about its tissue."""

import pytest

from train.anatomy import AnatomyError, structure
from train.anatomy.names import CODES

SIDED = (
    "kidney",
    "adrenal_gland",
    "kidney_cyst",
    "iliac_artery",
    "iliac_vena",
    "humerus",
    "scapula",
    "clavicula",
    "femur",
    "hip",
    "gluteus_maximus",
    "gluteus_medius",
    "gluteus_minimus",
    "autochthon",
    "iliopsoas",
    "subclavian_artery",
    "common_carotid_artery",
    "brachiocephalic_vein",
)
SINGLE = (
    "spleen",
    "gallbladder",
    "liver",
    "stomach",
    "pancreas",
    "lung_upper_lobe_left",
    "lung_lower_lobe_left",
    "lung_upper_lobe_right",
    "lung_middle_lobe_right",
    "lung_lower_lobe_right",
    "esophagus",
    "trachea",
    "thyroid_gland",
    "small_bowel",
    "duodenum",
    "colon",
    "urinary_bladder",
    "prostate",
    "sacrum",
    "heart",
    "aorta",
    "pulmonary_vein",
    "brachiocephalic_trunk",
    "atrial_appendage_left",
    "superior_vena_cava",
    "inferior_vena_cava",
    "portal_vein_and_splenic_vein",
    "spinal_cord",
    "brain",
    "skull",
    "sternum",
    "costal_cartilages",
)
CLASSES = (
    *SINGLE,
    *(f"{name}_{side}" for name in SIDED for side in ("left", "right")),
    *(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)),
    *(f"vertebrae_{letter}{n}" for letter, count in (("L", 5), ("T", 12), ("C", 7)) for n in range(1, count + 1)),
    "vertebrae_S1",
)


def test_all_117_classes_of_totalsegmentator_are_known() -> None:
    assert len(set(CLASSES)) == 117
    assert all(structure(name) in CODES for name in CLASSES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("portal_vein_and_splenic_vein", "portal_vein"),
        ("splenic artery", "visceral_artery"),
        ("iliac_vena_left", "iliac_vein"),
        ("brachiocephalic_vein_left", "brachiocephalic_vein_left"),
        ("kidney_left", "kidney_left"),
        ("kidney left cortex/column", "renal_cortex"),
        ("left renal pelvis", "renal_pelvis"),
        ("Pelvis", "pelvic_bone"),
        ("heart_ventricle_left", "left_ventricle"),
        ("heart left ventricle", "myocardium"),
        ("heart LV blood", "left_ventricle"),
        ("gas_inside_body (derived: stomach, bowel, small airways)", "bowel_gas"),
        ("other_soft_tissue (derived: abdominal wall muscle)", "soft"),
        ("Sacrum-L5-IntervertebralDisc", "disc"),
        ("left external oblique muscle", "oblique_muscles"),
        ("autochthon_right", "paraspinal"),
        ("oral_contrast_or_dense_bowel_content", "oral_contrast"),
        ("portal_branches_in_liver", "portal_vein"),
        ("kidney_sinus", "renal_sinus_fat"),
        ("heart_blood_pool", "left_ventricle"),
        ("bowel", "small_bowel"),
        ("visceral_or_intermuscular_fat", "visceral_fat"),
        ("dense_unlabelled (derived, > 180 HU: bone OR contrast-filled vessel/vein)", "dense"),
        ("other_bone_or_metal", "pelvic_bone"),
        ("atelectatic_lung_base", "consolidation"),
        ("urinary_contrast", "calcification"),
        ("enhancing_mediastinal_tissue", "lymph_node"),
    ],
)
def test_a_name_leads_to_its_tissue(name: str, expected: str) -> None:
    assert structure(name) == expected


def test_an_unknown_name_is_refused_by_name() -> None:
    with pytest.raises(AnatomyError, match="flux capacitor") as refusal:
        structure("flux capacitor")
    assert refusal.value.code == "label_unknown"
