"""The images do not look contrast-enhanced; asked last, because it takes longest."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dicom_node.series.candidate import Candidate
from dicom_node.series.enhancement import Enhancement, measure_enhancement
from dicom_node.series.rules.rule import Finding
from s2ldm_core.problem import Problem


@dataclass(frozen=True, kw_only=True)
class NotEnhancedByHU:
    """Refuses a series whose HU look enhanced although no tag says so, unless the route's ``enhancement_check`` is ``tags``.

    Attributes
    ----------
    measure
        Measures enhancement given ``(D, H, W)`` HU on a coarse grid, and its ``(dz, dy, dx)`` in mm.
    """

    measure: Callable[[np.ndarray, tuple[float, float, float]], Enhancement] = measure_enhancement

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        if series.route.enhancement_check != "hu":
            return Finding()
        found = self.measure(series.pixels.coarse, series.pixels.coarse_spacing_mm)
        details = {"enhanced_area_cm2": round(found.area_cm2, 2), "enhanced_mean_hu": round(found.mean_hu)}
        if not found.enhanced:
            return Finding(details=details)
        return Finding(
            problem=Problem(
                "enhanced_by_hu",
                f"The images look contrast-enhanced although no tag says so: vessels or kidneys at about "
                f"{found.mean_hu:.0f} HU on {found.slice_fraction:.0%} of the slices.",
                "Send the non-contrast series. If this is one (oral contrast can look so), set the route's "
                "enhancement_check to tags and retry the job.",
            ),
            details=details,
        )
