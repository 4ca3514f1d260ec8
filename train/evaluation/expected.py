"""What organs of adults reach in each phase, from below and from above: 100 to 120 kVp, bolus-tracked arterial (some 35 s) and portal
venous (some 70 s) phase.

Large organs and vessels are held to their HU. What a label mixes with fat or content (pancreas, bowel wall, thyroid with its iodine) and
what must not enhance is held to its change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Range:
    """HU that an organ reaches in a phase; either end may be open."""

    low: float = -np.inf
    high: float = np.inf
    change: bool = False
    """Limits of the change instead of the HU."""

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if not self.change:
            return f"≥ {self.low:g}" if np.isinf(self.high) else f"{self.low:g}–{self.high:g}"
        if self.still:
            return f"±{self.high:g} change"
        return f"{self.low:+g} to {self.high:+g} change"

    @property
    def still(self) -> bool:
        """Whether it says that nothing enhances."""
        return self.change and self.low == -self.high


def _hu(low: float, high: float) -> Range:
    return Range(low=low, high=high)


def _rise(low: float, high: float) -> Range:
    return Range(low=low, high=high, change=True)


def _both(arterial: Range, venous: Range) -> dict[str, Range]:
    return {"arterial": arterial, "venous": venous}


def _still(most_hu: float) -> dict[str, Range]:
    limit = Range(low=-most_hu, high=most_hu, change=True)
    return _both(limit, limit)


_ARTERY = _both(_hu(180, 420), _hu(110, 200))
_SMALL_ARTERY = _both(_hu(140, 420), _hu(90, 200))
_PORTAL = _both(_rise(0, 120), _hu(120, 200))
_CENTRAL_VEIN = _both(_rise(-5, 250), _hu(90, 200))
_LEG_VEIN = _both(_rise(-5, 40), _rise(5, 110))
_CAVITY = _both(_hu(150, 450), _hu(100, 200))
_KIDNEY = _both(_hu(100, 260), _hu(110, 260))
_MUSCLES = (
    "psoas",
    "iliacus",
    "paraspinal",
    "gluteal",
    "pectoral",
    "trapezius",
    "latissimus",
    "shoulder_muscle",
    "oblique_muscles",
)
_FLUID = ("urine", "bladder", "bile", "gallbladder", "pleural_effusion", "ascites", "cyst", "csf", "spinal_cord")

EXPECTED: Final[Mapping[str, Mapping[str, Range]]] = MappingProxyType(
    {
        **dict.fromkeys(("aorta", "supra_aortic_artery", "iliac_artery", "femoral_artery"), _ARTERY),
        **dict.fromkeys(("renal_artery", "visceral_artery", "mesenteric_artery"), _SMALL_ARTERY),
        **dict.fromkeys(("left_ventricle", "left_atrium"), _CAVITY),
        "pulmonary_artery": _both(_hu(120, 600), _hu(100, 200)),
        "myocardium": _both(_hu(60, 150), _hu(70, 160)),
        **dict.fromkeys(("portal_vein", "splenic_vein", "superior_mesenteric_vein"), _PORTAL),
        "hepatic_vein": _both(_rise(-5, 45), _hu(100, 200)),
        "ivc_suprarenal": _CENTRAL_VEIN,
        "renal_vein": _both(_hu(60, 300), _hu(100, 220)),
        "ivc_infrarenal": _LEG_VEIN,
        "iliac_vein": _LEG_VEIN,
        "femoral_vein": _LEG_VEIN,
        "liver": _both(_hu(50, 85), _hu(85, 135)),
        "spleen": _both(_hu(80, 150), _hu(80, 150)),
        **dict.fromkeys(("kidney_left", "kidney_right", "renal_cortex"), _KIDNEY),
        "pancreas": _both(_rise(30, 90), _rise(25, 80)),
        "adrenal": _both(_rise(15, 90), _rise(20, 90)),
        "thyroid": _both(_rise(30, 150), _rise(20, 120)),
        **dict.fromkeys(("stomach_wall", "small_bowel_wall", "colon_wall"), _both(_rise(5, 90), _rise(10, 90))),
        "lymph_node": _both(_rise(0, 60), _rise(5, 80)),
        **dict.fromkeys(_FLUID, _still(12)),
        "oesophagus": _both(_rise(-12, 35), _rise(-12, 45)),
        **dict.fromkeys(_MUSCLES, _still(15)),
        **dict.fromkeys(("visceral_fat", "subcutaneous_fat", "intermuscular_fat", "mediastinal_fat"), _still(10)),
        **dict.fromkeys(("vertebra", "pelvic_bone", "rib", "long_bone", "cortical_bone"), _still(20)),
        "lung": _still(1),
    }
)
"""Structure → phase → range."""

LUMINA: Final = ("aorta",)
"""Vessels in which blood is well mixed: no part of a slice stays dark."""
LEAST_OF_MEAN: Final = 0.8
"""5th percentile of a lumen over its mean, in every slice: darker parts read as dissection or thrombus."""
