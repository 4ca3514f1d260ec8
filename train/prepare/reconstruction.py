"""How a series was reconstructed: an original image or something computed from it, with a soft or a sharp kernel.

Image Type (0008,0008; PS3.3 C.7.6.1.1.2 and C.8.2.1.1.1) decides, never a folder's name. Series Description is asked where Image
Type only says DERIVED or nothing, and for what is no image of Hounsfield units whatever its type says.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

Derivation = Literal["mono", "vnc", "iodine", "subtraction", "mip", "map"]
#: What may be computed from a scan, as `kind_of` names it, and how a sentence calls it.
DERIVATIONS: Final[Mapping[Derivation, str]] = {
    "mono": "a mono-energetic image",
    "vnc": "a virtual non-contrast image",
    "iodine": "an iodine map",
    "subtraction": "a subtraction",
    "mip": "a projection",
    "map": "a parametric map",
}
_KINDS: Final[tuple[tuple[Derivation, str], ...]] = (
    ("vnc", r"VNC|VUE|VIRTUAL (?:NON|UN|NATIVE?)\w*|VIRTUELL NATIV\w*|WATER IODINE"),
    ("iodine", r"IODINE\w*|IOD|JODKARTE|IODE"),
    ("subtraction", r"SUBTRACT\w*|SUBTRAKTION|DSA"),
    ("mip", r"MIP|MINIP|MINMIP|AVIP|MAX IP|MIN IP|PROJECTION\w*|PROJEKTION|VRT|VOLUME ?REND\w*|SSD"),
    ("mono", r"MONO(?:E|PLUS|ENERG\w*|CHROM\w*)?(?! ?PHAS)|\d{2,3} ?KEV|KEV"),
    ("map", r"PERFUSION\w*|CBF|CBV|MTT|TTP|TMAX|ZEFF|EFFECTIVE Z|RHO|ELECTRON DENSITY"),
)
_PATTERNS: Final = tuple((kind, re.compile(rf"(?<![A-Z])(?:{words})(?![A-Z])")) for kind, words in _KINDS)
# Photon-counting scanners call every image mono-energetic; that alone is no reason where Image Type says ORIGINAL.
_ORIGINAL_MAY_BE: Final = "mono"
_SHARP_WORDS: Final = re.compile(r"LUNG|BONE|EDGE|SHARP|KNOCHEN|LUNGE")
_SOFT_WORDS: Final = re.compile(r"STANDARD|STND|SOFT|DETAIL|SMOOTH")
_SHARP_SIEMENS: Final = 50
_SHARP_CANON: Final = (30, 40)
_SHARP_PHILIPS: Final = frozenset({"D", "E", "L", "YA", "YB", "YC", "YD"})


def derivation(facts: Mapping[str, str]) -> Derivation | None:
    """What was computed from a scan to make this series, where that is no plain image of HU; ``None`` where it is one."""
    kinds = _image_type(facts)
    said = _kind_in(" ".join(kinds[2:]))
    if said is not None:
        return said
    described = _kind_in(facts.get("SeriesDescription", ""))
    return None if described == _ORIGINAL_MAY_BE and kinds[:1] == ["ORIGINAL"] else described


def is_derived(facts: Mapping[str, str]) -> bool:
    """Whether Image Type calls the pixels derived: reformats and averages, which have the HU of their originals."""
    return _image_type(facts)[:1] == ["DERIVED"]


def kernel(facts: Mapping[str, str]) -> str:
    """Convolution Kernel (0018,1210), its first value; empty where there is none."""
    return facts.get("ConvolutionKernel", "").split("\\")[0].strip()


def is_sharp(facts: Mapping[str, str]) -> bool:
    """Whether the kernel is one for lung or bone, by the makers' names; unknown names are taken for soft."""
    name = kernel(facts).upper()
    if not name:
        return bool(_SHARP_WORDS.search(facts.get("SeriesDescription", "").upper()))
    if _SHARP_WORDS.search(name):
        return True
    if _SOFT_WORDS.search(name):
        return False
    canon = re.match(r"FC(\d{2})", name)
    if canon is not None:
        number = int(canon[1])
        return _SHARP_CANON[0] <= number < _SHARP_CANON[1] or number >= _SHARP_SIEMENS
    siemens = re.match(r"[A-Z]{1,2}(\d{2})", name)
    if siemens is not None:
        return int(siemens[1]) >= _SHARP_SIEMENS
    return name in _SHARP_PHILIPS


def _image_type(facts: Mapping[str, str]) -> list[str]:
    return [value.strip() for value in facts.get("ImageType", "").upper().split("\\") if value.strip()]


def _kind_in(text: str) -> Derivation | None:
    plain = re.sub(r"[^A-Z0-9]+", " ", text.upper())
    return next((kind for kind, pattern in _PATTERNS if pattern.search(plain)), None)
