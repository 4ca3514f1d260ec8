"""What a label's name says about how to paint it.

Names are TotalSegmentator's class names (v1 and v2) or plain anatomical English, as found in atlases; sides are kept where the tissue
differs. A name leads to a tissue of the phantom (`s2ldm_core.phantom.TISSUES`) or to a *composite*: an organ whose parts the map does not
tell apart (a whole kidney, a vertebra, the bowel) and that `train.anatomy.interiors` divides.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from s2ldm_core.phantom import ORGANS
from train.anatomy.errors import AnatomyError

#: Code of every composite; the codes below 200 are those of the phantom's tissues.
COMPOSITES: Final[Mapping[str, int]] = MappingProxyType(
    {
        name: 200 + index
        for index, name in enumerate(
            (
                "kidney_right",
                "kidney_left",
                "heart",
                "small_bowel",
                "colon",
                "stomach",
                "gallbladder",
                "bladder",
                "vertebra",
                "pelvic_bone",
                "rib",
                "long_bone",
                "ivc",
                "soft",
                "strand",
                "inside",
                "dense",
            )
        )
    }
)

#: Code of every structure a map can hold: the phantom's tissues and the composites.
CODES: Final[Mapping[str, int]] = MappingProxyType({**ORGANS, **COMPOSITES})

# First match wins. `{side}` is replaced by the side the name gives.
_RULES: Final = (
    (r"\bcyst\b|kidney cyst", "cyst"),
    (r"calcif|urinary contrast", "calcification"),
    (r"oral contrast", "oral_contrast"),
    (r"kidney sinus|renal sinus", "renal_sinus_fat"),
    (r"portal branches", "portal_vein"),
    (r"small abdominal vessels", "mesenteric_vein"),
    (r"other thoracic vessels", "jugular_vein"),
    (r"heart blood pool", "left_ventricle"),
    (r"mediastinal tissue", "lymph_node"),
    (r"atelecta|consolidation", "consolidation"),
    (r"visceral or intermuscular fat", "visceral_fat"),
    (r"^fluid$|ascites", "ascites"),
    (r"dense unlabelled", "dense"),
    (r"tumou?r|lesion", "hypovascular_lesion"),
    (r"\bgas\b", "bowel_gas"),
    (r"bone or metal|dense", "pelvic_bone"),
    (r"metal|prosthesis", "metal"),
    (r"abdominal aort|\baorta\b|true lumen|false lumen", "aorta"),
    (r"pulmonary arter", "pulmonary_artery"),
    (r"pulmonary vein|pulmonary venous", "pulmonary_vein"),
    (r"vessels? inside lung|lung vessel", "pulmonary_artery"),
    (r"atrial appendage", "left_atrium"),
    (r"superior vena cava", "svc"),
    (r"inferior vena cava", "ivc"),
    (r"brachiocephalic vein", "brachiocephalic_vein_{side}"),
    (r"jugular", "jugular_vein"),
    (r"brachiocephalic trunk|subclavian arter|carotid|vertebral arter", "supra_aortic_artery"),
    (r"iliac (vena|vein)", "iliac_vein"),
    (r"femoral vein", "femoral_vein"),
    (r"iliac arter", "iliac_artery"),
    (r"femoral arter", "femoral_artery"),
    (r"renal vein", "renal_vein"),
    (r"renal arter", "renal_artery"),
    (r"inferior mesenteric arter|epigastric arter", "mesenteric_artery"),
    (
        r"c(o)?eliac|splenic arter|gastric arter|hepatic arter|gastroduodenal|superior mesenteric arter",
        "visceral_artery",
    ),
    (r"portal vein", "portal_vein"),
    (r"splenic vein", "splenic_vein"),
    (r"superior mesenteric vein", "superior_mesenteric_vein"),
    (r"mesenteric vein", "mesenteric_vein"),
    (r"hepatic vein", "hepatic_vein"),
    (r"liver vessel", "portal_vein"),
    (r"coronary", "coronary_artery"),
    (r"collecting system|renal pelvis|kidney pelvis|calyx", "renal_pelvis"),
    (r"(kidney|renal).*(cortex|column)", "renal_cortex"),
    (r"(kidney|renal).*(medulla|pyramid)", "renal_medulla"),
    (r"ureter\b", "ureter"),
    (r"\bkidney\b", "kidney_{side}"),
    (r"adrenal|suprarenal gland", "adrenal"),
    # An atlas of surfaces calls a chamber's wall "heart left ventricle" and its blood "heart LV blood".
    (r"\blv blood|heart ventricle left", "left_ventricle"),
    (r"\brv blood|heart ventricle right", "right_ventricle"),
    (r"\bla blood|heart atrium left", "left_atrium"),
    (r"\bra blood|heart atrium right", "right_atrium"),
    (r"myocard|papillary|septum|heart (left|right) (ventricle|atrium)", "myocardium"),
    (r"pericard", "mediastinal_fat"),
    (r"\bheart\b", "heart"),
    (r"pleural effusion", "pleural_effusion"),
    (r"\blungs?\b", "lung"),
    (r"trachea|bronch", "airway"),
    (r"o?esophagus", "oesophagus"),
    (r"thyroid", "thyroid"),
    (r"colon|rectum|sigmoid|c(a)?ecum|large bowel|large intestine", "colon"),
    (r"stomach", "stomach"),
    (r"small bowel|small intestine|duodenum|jejunum|ileum|^bowel$", "small_bowel"),
    (r"gallbladder", "gallbladder"),
    (r"pancreas", "pancreas"),
    (r"spleen", "spleen"),
    (r"liver", "liver"),
    (r"bladder", "bladder"),
    (r"prostate|seminal vesicle", "prostate"),
    (r"uterus|ovary|vagina", "uterus"),
    (r"ascites", "ascites"),
    (r"lymph", "lymph_node"),
    (r"breast|mammary", "breast_gland"),
    (r"thymus", "mediastinal_fat"),
    (r"intervertebral ?disc|\bdiscs?\b", "disc"),
    (r"cartilage", "cartilage"),
    (r"spinal cord|\bbrain\b", "spinal_cord"),
    (r"spinal canal|cerebrospinal", "csf"),
    (r"vertebra|^thoracic ?\d|^lumbar ?\d|^cervical ?\d|sacrum|coccyx", "vertebra"),
    (r"\brib|sternum|clavic|scapula|skull|\bface\b|mandible", "rib"),
    (r"\bhip\b|pelvis|ilium|ischium|pubis|pelvic bone", "pelvic_bone"),
    (r"femur|humerus|radius|ulna|tibia|fibula|carpal|tarsal|phalang|patella|forearm", "long_bone"),
    (r"\bbones?\b", "pelvic_bone"),
    (r"psoas", "psoas"),
    (r"iliacus", "iliacus"),
    (r"autochthon|erector|paraspinal|multifid", "paraspinal"),
    (r"quadratus lumborum", "quadratus_lumborum"),
    (r"rectus abdominis", "rectus_abdominis"),
    (r"oblique|transversus", "oblique_muscles"),
    (r"glute", "gluteal"),
    (r"quadriceps|sartorius|thigh|adductor|hamstring|piriformis|obturator", "thigh_muscle"),
    (r"pector", "pectoral"),
    (r"latissimus", "latissimus"),
    (r"trapezius", "trapezius"),
    (r"deltoid|supraspinatus|infraspinatus|subscapularis|serratus|coracobrachial|rotator", "shoulder_muscle"),
    (r"sternocleidomastoid|scalene|neck muscle|levator scapulae", "neck_muscle"),
    (r"diaphragm", "diaphragm"),
    (r"intercostal", "intercostal"),
    (r"skeletal muscle|\bmuscles?\b", "oblique_muscles"),
    (r"intermuscular fat", "intermuscular_fat"),
    (r"subcutaneous", "subcutaneous_fat"),
    (r"\bskin$", "skin"),
    (r"body|unlabelled inside|body trunc|body extremities", "inside"),
    (r"soft tissue|unnamed", "soft"),
    (r"\bfat\b|adipose|omentum", "visceral_fat"),
    (r"\bair\b|background", "air"),
)


def structure(name: str) -> str:
    """The structure (a key of `CODES`) a label's name stands for; what it says in parentheses does not count.

    Raises
    ------
    AnatomyError
        ``label_unknown`` for a name that no rule knows.
    """
    plain = re.sub(r"[\s_\-]+", " ", re.sub(r"\(.*?\)", " ", name)).strip().lower()
    for pattern, found in _RULES:
        if re.search(pattern, plain):
            return found.format(side="left" if re.search(r"\bleft\b", plain) else "right")
    raise AnatomyError(
        "label_unknown",
        f"No anatomical structure is known by the name {name!r}.",
        "Use TotalSegmentator's class names or plain anatomical English in labels.json, or leave the label out.",
    )
