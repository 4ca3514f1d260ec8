"""What a vessel may run through, and how it is painted."""

from collections.abc import Sequence

import numpy as np

from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.trees import curve

SOFT = (
    "visceral_fat",
    "mediastinal_fat",
    "intermuscular_fat",
    "lung",
    "dependent_lung",
    "small_bowel_wall",
    "small_bowel_content",
    "colon_wall",
    "stool",
    "bowel_gas",
    "oral_contrast",
    "psoas",
    "iliacus",
    "diaphragm",
    "mesenteric_vein",
    "mesenteric_artery",
    "lymph_node",
    "neck_muscle",
    "shoulder_muscle",
    "thigh_muscle",
    "gluteal",
    "renal_sinus_fat",
    "ureter",
    "pelvic_soft_tissue",
    "pectoral",
    "subcutaneous_fat",
    "pulmonary_artery",
    "pulmonary_vein",
    "airway_wall",
    "pancreas",
    "intercostal",
    "consolidation",
    "pleural_effusion",
    "oblique_muscles",
    "oesophagus",
    "myocardium",
    "renal_pelvis",
    "rectus_abdominis",
)

# From behind the pancreas to the hilum of the liver, (z, y, x), with radii in mm.
PORTAL_TRUNK = ((-11.0, -13.0, -7.0), (2.0, -13.0, -18.0), (14.0, -14.0, -30.0), (20.0, -14.0, -39.0))
PORTAL_TRUNK_RADII = (6.5, 7.0, 7.0, 6.0)


def tapered(points: Sequence[tuple[float, float, float]], radii: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A smooth axis (n, 3) through atlas points (z, y, x), and radii (n,) mm spread along it."""
    line = curve(list(points))
    return line, np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(radii)), radii)


def paint_vessel(
    canvas: Canvas,
    label: str,
    points: Sequence[tuple[float, float, float]],
    radii: Sequence[float],
    *,
    coat_mm: float = 0.0,
    over: Sequence[str] = SOFT,
) -> np.ndarray:
    """Paint a smooth tube through atlas points (z, y, x) with radii (mm) spread along it; return its axis (n, 3).

    coat_mm adds mediastinal fat around it where it borders on lung.
    """
    line, at = tapered(points, radii)
    if coat_mm:
        canvas.tube(
            line,
            at + coat_mm,
            "mediastinal_fat",
            over=("lung", "dependent_lung", "pulmonary_artery", "pulmonary_vein", "airway_wall"),
        )
    canvas.tube(line, at, label, over=over)
    return line
