"""What a route may ask to be drawn into the pixels. Without DICOM or image library, as the configuration needs it."""

from enum import StrEnum


class Mark(StrEnum):
    """``corner``: the word SYNTHETIC and the phase, in every slice, off the body; ``none``: pixels as predicted."""

    CORNER = "corner"
    NONE = "none"
