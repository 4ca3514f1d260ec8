"""What can be wrong with an anatomical label map."""

from s2ldm_core.errors import S2LDMError


class AnatomyError(S2LDMError):
    """A label map that cannot be turned into pairs."""
