"""The core's exception tree; each error carries a `Problem`."""

from s2ldm_core.problem import ProblemError


class S2LDMError(ProblemError):
    """Something the core cannot do."""


class VolumeError(S2LDMError):
    """A file or series is not a volume the core can use."""


class GeometryError(VolumeError):
    """The slices of a series do not form a regular, untilted stack (PS3.3 C.7.6.2)."""


class DocumentError(S2LDMError):
    """A YAML document cannot be read, or says something that its reader does not know."""


class PackageError(S2LDMError):
    """A model package is missing, damaged or does not fit this version."""


class ExtensionError(S2LDMError):
    """What another installed package should offer is not there, or cannot be made."""


class PhantomError(S2LDMError):
    """A phantom was asked for that cannot be made."""


class TranslationError(S2LDMError):
    """A volume could not be translated to the phase asked for."""
