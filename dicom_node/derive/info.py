"""What a derived series has to say about how it came to be."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from pydicom.uid import (
    UID,
    CTImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)


class OutputForm(StrEnum):
    """How the derived series is encoded."""

    #: Secondary Capture Image Storage, one instance per source slice (PS3.3 A.8.1). The default.
    SECONDARY_CAPTURE = "sc"
    #: CT Image Storage, DERIVED\SECONDARY\AXIAL (PS3.3 A.3), for readers that drop Secondary Capture geometry.
    CT = "ct"
    #: Multi-frame Grayscale Word Secondary Capture Image Storage, one instance per series (PS3.3 A.8.4).
    MULTIFRAME_SECONDARY_CAPTURE = "multiframe-sc"

    @property
    def sop_class_uid(self) -> UID:
        """SOP class of the instances, which a destination must take."""
        match self:
            case OutputForm.SECONDARY_CAPTURE:
                return SecondaryCaptureImageStorage
            case OutputForm.CT:
                return CTImageStorage
            case OutputForm.MULTIFRAME_SECONDARY_CAPTURE:
                return MultiFrameGrayscaleWordSecondaryCaptureImageStorage


#: Window (centre, width) in HU in which a phase is first shown: wide enough that vessels do not saturate.
DEFAULT_WINDOW_HU: dict[str, tuple[float, float]] = {
    "arterial": (120.0, 500.0),
    "venous": (60.0, 400.0),
    "delayed": (50.0, 350.0),
}
_OTHER_WINDOW_HU = (50.0, 400.0)


@dataclass(frozen=True, kw_only=True)
class DerivationInfo:
    """How a series was derived: everything beyond the source's own headers.

    Attributes
    ----------
    phase
        Contrast phase synthesised: ``arterial``, ``venous``, ``delayed``.
    model_name, model_version, weights_sha256
        The model package; the checksum is 64 hexadecimal digits.
    seed, steps
        Of the sampler.
    route
        What asked for the series: a called AE title, or the name of the command.
    training_statement
        What the model was trained on, from its package; said in every derived object. May be empty.
    output
        How to encode the series.
    series_number_offset
        Added to the source's Series Number.
    series_description
        Follows the word SYNTHETIC; ``None`` names phase and model.
    window_hu
        (centre, width) in HU; ``None`` takes the phase's default.
    software_version
        Version of this node.
    created_at
        Timezone-aware; becomes content, series and secondary-capture date and time.
    """

    phase: str
    model_name: str
    model_version: str
    weights_sha256: str
    seed: int
    steps: int
    route: str
    training_statement: str = ""
    output: OutputForm = OutputForm.SECONDARY_CAPTURE
    series_number_offset: int = 1000
    series_description: str | None = None
    window_hu: tuple[float, float] | None = None
    software_version: str = "0"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def window(self) -> tuple[float, float]:
        """(centre, width) in HU."""
        return self.window_hu or DEFAULT_WINDOW_HU.get(self.phase, _OTHER_WINDOW_HU)

    @property
    def description(self) -> str:
        """Series Description (0008,103E): SYNTHETIC comes first, at most 64 characters (LO, PS3.5 6.2)."""
        text = self.series_description or f"{self.phase} ({self.model_name} {self.model_version})"
        ascii_text = text.encode("ascii", "replace").decode("ascii").replace("\\", "/")
        return f"SYNTHETIC {ascii_text}"[:64].rstrip()

    @property
    def derivation(self) -> str:
        """Derivation Description (0008,2111), at most 1024 characters (ST, PS3.5 6.2)."""
        text = (
            f"Synthetic {self.phase} contrast phase, predicted from non-contrast CT; no contrast agent was given. "
            f"Model {self.model_name} version {self.model_version}, weights sha256 {self.weights_sha256}, "
            f"seed {self.seed}, steps {self.steps}."
        )
        if self.training_statement:
            text = f"{text} Training data: {self.training_statement}"
        return text.encode("ascii", "replace").decode("ascii")[:1024]
