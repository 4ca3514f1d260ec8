"""Volumes in, volumes out: synthesis of contrast-enhanced CT phases from non-contrast CT.

>>> from s2ldm_core import Translator, read_volume
>>> result = Translator.load("demo").translate(read_volume("series/"), phase="arterial", seed=0)  # doctest: +SKIP

Names are resolved on first use, so that importing the package (or one of its light modules) loads neither torch nor
the file-format libraries.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s2ldm_core.errors import S2LDMError
    from s2ldm_core.io import read_volume, write_volume
    from s2ldm_core.package import ModelPackage
    from s2ldm_core.translation import Translation
    from s2ldm_core.translator import TranslationResult, Translator
    from s2ldm_core.volume import SliceRecord, Volume

__all__ = [
    "ModelPackage",
    "S2LDMError",
    "SliceRecord",
    "Translation",
    "TranslationResult",
    "Translator",
    "Volume",
    "read_volume",
    "write_volume",
]

_HOMES = {
    "ModelPackage": "package",
    "S2LDMError": "errors",
    "SliceRecord": "volume",
    "Translation": "translation",
    "TranslationResult": "translator",
    "Translator": "translator",
    "Volume": "volume",
    "read_volume": "io",
    "write_volume": "io",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
