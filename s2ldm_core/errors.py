"""The core's exception tree: every error carries a reason code, a sentence and a remedy."""


class S2LDMError(Exception):
    """Something the core cannot do, in words a PACS administrator can act on.

    Parameters
    ----------
    code
        Stable machine-readable reason in upper snake case, such as ``IRREGULAR_SPACING``. Never localised.
    sentence
        What is wrong, as one sentence without patient data.
    remedy
        What to do about it; empty when nothing can be done.
    """

    def __init__(self, code: str, sentence: str, remedy: str = "") -> None:
        super().__init__(code, sentence, remedy)
        self.code = code
        self.sentence = sentence
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.code}: {self.sentence}"
        return f"{text} {self.remedy}" if self.remedy else text


class VolumeError(S2LDMError):
    """A file or series is not a volume the core can use."""


class GeometryError(VolumeError):
    """The slices of a series do not form a regular, untilted stack (PS3.3 C.7.6.2)."""


class PackageError(S2LDMError):
    """A model package is missing, damaged or does not fit this version."""


class PhantomError(S2LDMError):
    """A phantom was asked for that cannot be made."""


class TranslationError(S2LDMError):
    """A volume could not be translated to the phase asked for."""
