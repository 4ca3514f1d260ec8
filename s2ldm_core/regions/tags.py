"""What the tags of an image say about the part of the body, as torso or not."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from s2ldm_core.problem import Problem
from s2ldm_core.regions.series import RegionJudgement

#: Keywords read for free text, the most telling first; Body Part Examined and the codes come before them.
TEXTS = ("SeriesDescription", "ProtocolName", "StudyDescription")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Terms of PS3.16 Annex L (Correspondence of Anatomic Region Codes and Body Part Examined Defined Terms).
_TORSO_TERMS = _words(
    "ABDOMEN ABDOMENPELVIS ABDOMINALAORTA ADRENAL AORTA APPENDIX AXILLA BACK BILEDUCT BLADDER BREAST BRONCHUS BUTTOCK "
    "CHEST CHESTABDOMEN CHESTABDPELVIS CLAVICLE COLON CORONARYARTERY CSPINETSPINE DUODENUM ESOPHAGUS FLANK GALLBLADDER GROIN "
    "HEART HILUM ILEUM ILIUM JEJUNUM KIDNEY LARGEINTESTINE LIVER LSPINE LSSPINE LUNG MEDIASTINUM OVARY PANCREAS PELVIS "
    "PERINEUM PROSTATE RECTUM RETROPERITONEUM RIB SACRUM SIJOINT SMALLINTESTINE SPLEEN SSPINE STERNUM STOMACH TLSPINE TSPINE "
    "THORACICAORTA TRACHEABRONCHUS TRUNK UTERUS WHOLEBODY THORAX TORSO NECKCHESTABDPELV NECKCHESTABDOMEN"
)
_OTHER_TERMS = _words(
    "ANKLE ARM BRAIN CALCANEUS CALF CAROTID CEREBELLUM CIRCLEOFWILLIS CSKULL CSPINE EAR ELBOW EXTREMITY EYE EYELID FACE "
    "FEMUR FINGER FOOT FOREARM FOREHEAD HAND HEAD HEADNECK HUMERUS INTERNALAUDITORYCANAL JAW KNEE LARYNX LEG LOWEREXTREMITY "
    "LOWERLEG MANDIBLE MAXILLA MOUTH NASOPHARYNX NECK NOSE OPTICCANAL ORBIT PARANASALSINUS PAROTID PATELLA PHARYNX PITUITARY "
    "SCALP SHOULDER SINUS SKULL SUBMANDIBULAR TEMPORALBONE THIGH THUMB THYROID TMJ TOE TONGUE UPPERARM UPPEREXTREMITY WRIST "
    "PHANTOM HEADPHANTOM WATERPHANTOM"
)
# SNOMED CT codes of the same table, and what they were before (SRT, and abdomen, thorax and pelvis of old).
_TORSO_CODES = _words(
    "818981001 818982008 818987002 816094009 816092008 816989007 43799004 416550000 416775004 416319003 416152001 38266002 "
    "39607008 10200004 64033007 80891009 78961009 15776009 41801008 15825003 113262008 7832008 122495006 122496007 "
    "1217253001 1217256009 113197003 56873002 54735007 71854001 69695003 89837001 41216001 23451007 72410000 "
    "113345001 51185008 12921003 T-D4000 T-D3000 T-D3200 T-D6000 T-D0010 T-28000 T-62000 T-71000 T-32000 T-C3000 T-65000 "
    "T-43000 T-42000 T-42070 T-42500 T-11502 T-11503 R-FAB53 R-FAB54 R-FAB55 R-FAB56 R-FAB57"
)
_OTHER_CODES = _words(
    "69536005 12738006 45048000 774007 16982005 72696002 56459004 85562004 61685007 53120007 66019005 30021000 68367000 "
    "40983000 14975008 89545001 89546000 70258002 16953009 74670003 71341001 85050009 122494005 113305005 91609006 "
    "70925003 2095001 69105007 363654007 661005 706342009 T-D1100 T-A0100 T-D1600 T-D1000 T-D2220 T-D9200 T-D9700 T-D8700 "
    "T-D9000 T-D8000 T-D0300 T-D9400 T-D9100 T-D8200 T-D8500 T-D1200 T-11100 T-15750 T-15430 T-15460 T-12710 T-12410 "
    "T-11501 R-FE0C7"
)

# Words as people write them, without accents; English, German, French, Italian, Spanish, Portuguese, Dutch.
_TORSO_WORDS = re.compile(
    r"\b(ABD\w*|ABDOMEN|ABDOMINAL\w*|ADDOM\w*|BUIK|BAUCH|OBERBAUCH|VENTRE|CHEST|TX|THOR\w*|TORA\w*|TORSO|TRUNK|RUMPF|STAMM|PELV\w*|"
    r"BECKEN|BASSIN|BACINO|BEKKEN|PELVI|LUNG\w*|LUNGE\w*|POUMON\w*|POLMON\w*|PULM\w*|LIVER|LEBER|FOIE|FEGATO|HIGADO|FIGADO|"
    r"LEVER|HEPAT\w*|CARDI\w*|HEART|HERZ|COEUR|CORAZON|CORONAR\w*|KIDNEY\w*|NIERE\w*|RENAL|REIN|RINON\w*|KUB|UROGRAM\w*|"
    r"PANCREA\w*|PANKREAS|SPLEEN|COLON\w*|TAP|CAP|CHAP|BRUST\w*|TORAX|LWS|BWS|LSPINE|LUMBAR|AORT\w*)\b"
)
_OTHER_WORDS = re.compile(
    r"\b(HEAD|BRAIN|SKULL|CRAN\w*|SCHADEL|SCHAEDEL|KOPF|HIRN|CCT|TETE|CEREBR\w*|CERVEAU|ENCEF\w*|TESTA|CABEZA|CABECA|"
    r"HOOFD|SCHEDEL|HERSEN\w*|NECK|HALS|COU|COLLO|CUELLO|PESCOCO|SINUS\w*|NNH|ORBIT\w*|FACE|FACIAL|GESICHT\w*|MAXILLO\w*|"
    r"DENTAL|MANDIB\w*|PETROUS|FELSENBEIN|TEMPORAL|IAC|KNEE|KNIE|GENOU|GINOCCHIO|RODILLA|JOELHO|ANKLE|SPRUNGGELENK|CHEVILLE|"
    r"CAVIGLIA|TOBILLO|FOOT|FUSS|PIED|PIEDE|PIE|VOET|HAND|MAIN|MANO|WRIST|HANDGELENK|POIGNET|POLSO|ELBOW|ELLENBOGEN|COUDE|GOMITO|"
    r"CODO|SHOULDER|SCHULTER|EPAULE|SPALLA|HOMBRO|OMBRO|SCHOUDER|EXTREMIT\w*|LEG|BEIN|JAMBE|GAMBA|PIERNA|PERNA|FEMUR|TIBIA|HUMERUS|"
    r"ARM|PHANTOM|FANTOM\w*|WATER|HWS|CSPINE|CAROTI\w*)\b"
)


@dataclass(frozen=True, kw_only=True)
class TaggedRegion:
    """What tags say.

    Attributes
    ----------
    torso
        True, false, or ``None`` where they say nothing, or both.
    source
        Keyword of the attribute that says so; empty without.
    text
        What it says.
    """

    torso: bool | None
    source: str = ""
    text: str = ""


def region_by_tags(header: Any) -> TaggedRegion:
    """Body Part Examined (0018,0015), the Anatomic Region Sequence (0008,2218), then the descriptions.

    The first that says torso or not torso decides; one that says both (a head and a chest) says nothing.

    Parameters
    ----------
    header
        Offers the attributes of the General Series, General Study and General Anatomy modules (PS3.3 C.7.3.1).
    """
    part = _text(header, "BodyPartExamined")
    term = re.sub(r"[^A-Z]", "", _plain(part))
    if term in _TORSO_TERMS or term in _OTHER_TERMS:
        return TaggedRegion(torso=term in _TORSO_TERMS, source="BodyPartExamined", text=part)
    for code, meaning in _codes(header):
        if code in _TORSO_CODES or code in _OTHER_CODES:
            return TaggedRegion(torso=code in _TORSO_CODES, source="AnatomicRegionSequence", text=meaning or code)
    for keyword in ("BodyPartExamined", *TEXTS):
        text = _text(header, keyword)
        torso = _by_words(text)
        if torso is not None:
            return TaggedRegion(torso=torso, source=keyword, text=text)
    return TaggedRegion(torso=None)


def contradiction(tagged: TaggedRegion, image: RegionJudgement) -> Problem | None:
    """What tags and image disagree about, for the record; the image decides where it is `RegionJudgement.sure`."""
    if tagged.torso is None or not image.sure or tagged.torso == image.within_torso:
        return None
    shown = ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in image.shares.items())
    said = "the torso" if tagged.torso else "another part of the body"
    return Problem(
        "region_contradicts",
        f"{tagged.source} ({tagged.text}) says {said}, but the images show: {shown}.",
        "Have the part of the body corrected where the series is made.",
    )


def _by_words(text: str) -> bool | None:
    plain = re.sub(r"[_/+,.;:()&-]", " ", _plain(text))
    torso, other = bool(_TORSO_WORDS.search(plain)), bool(_OTHER_WORDS.search(plain))
    return None if torso == other else torso


def _plain(text: str) -> str:
    """Capitals without accents."""
    decomposed = unicodedata.normalize("NFKD", text.upper())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _text(header: Any, keyword: str) -> str:
    return str(getattr(header, keyword, None) or "").strip()


def _codes(header: Any) -> Iterator[tuple[str, str]]:
    for item in getattr(header, "AnatomicRegionSequence", None) or ():
        yield _text(item, "CodeValue"), _text(item, "CodeMeaning")
