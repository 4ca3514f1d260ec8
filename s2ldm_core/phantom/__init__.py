"""Digital torso phantom: paired native and contrast-enhanced CT of made-up patients.

>>> phantom = Phantom(seed=7, matrix=(128, 128), slices=40, spacing_mm=(3.0, 3.0, 3.0), region="abdomen")
>>> native, arterial = phantom.hu("native", noise_seed=1), phantom.hu("arterial", noise_seed=2)

Names are resolved on first use: networks need the names of its tissues, and not what draws them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s2ldm_core.phantom.patient import Patient
    from s2ldm_core.phantom.phantom import REGIONS, Phantom
    from s2ldm_core.phantom.scanner import Scanner
    from s2ldm_core.phantom.tissues import ORGANS, PHASE_SECONDS, TISSUES

__all__ = ["ORGANS", "PHASE_SECONDS", "REGIONS", "TISSUES", "Patient", "Phantom", "Scanner"]

_HOMES = {
    "ORGANS": "tissues",
    "PHASE_SECONDS": "tissues",
    "REGIONS": "phantom",
    "TISSUES": "tissues",
    "Patient": "patient",
    "Phantom": "phantom",
    "Scanner": "scanner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
