"""Digital torso phantom: paired native and contrast-enhanced CT of made-up patients.

>>> phantom = Phantom(seed=7, matrix=(128, 128), slices=40, spacing_mm=(3.0, 3.0, 3.0), region="abdomen")
>>> native, arterial = phantom.hu("native", noise_seed=1), phantom.hu("arterial", noise_seed=2)
"""

from s2ldm_core.phantom.patient import Patient
from s2ldm_core.phantom.phantom import REGIONS, Phantom
from s2ldm_core.phantom.scanner import Scanner
from s2ldm_core.phantom.tissues import ORGANS, PHASE_SECONDS, TISSUES

__all__ = ["ORGANS", "PHASE_SECONDS", "REGIONS", "TISSUES", "Patient", "Phantom", "Scanner"]
