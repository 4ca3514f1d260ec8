"""Digital torso phantom: paired native and contrast-enhanced CT of made-up patients.

>>> phantom = Phantom(seed=7, matrix=(128, 128), slices=40, spacing_mm=(3.0, 3.0, 3.0), region="abdomen")
>>> native, arterial = phantom.hu("native", noise_seed=1), phantom.hu("arterial", noise_seed=2)
"""

from .patient import Patient
from .phantom import REGIONS, Phantom
from .scanner import Scanner
from .tissues import ORGANS, PHASE_SECONDS, TISSUES

__all__ = ["ORGANS", "PHASE_SECONDS", "REGIONS", "TISSUES", "Patient", "Phantom", "Scanner"]
