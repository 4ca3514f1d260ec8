"""What a derived series has to say about how it came to be."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from dicom_node.derive.forms import DEFAULT_FORM
from dicom_node.derive.marks import Mark
from dicom_node.phases import called, depicted, presented
from s2ldm_core.translation import Translation

_REPLACES = " (replaces earlier)"
#: So many earlier series are named, the latest; the description has room for little more.
_NAMED_SERIES = 3


@dataclass(frozen=True, kw_only=True)
class DerivationInfo:
    """How a series was derived: everything beyond the source's own headers.

    Attributes
    ----------
    translation
        How the synthetic volume was made; all of it but the times is said in every derived object.
    route
        What asked for the series: a called AE title, or the name of the command.
    output
        How to encode the series: the name of an output form.
    series_number_offset
        Added to the source's Series Number.
    series_description
        Follows the word SYNTHETIC; ``None`` names phase and model.
    window_hu
        (centre, width) in HU; ``None`` starts from the source's.
    mark
        What is drawn into the pixels.
    replaces
        Series Instance UIDs of earlier derived series of the same source series, which this one stands in for.
    software_version
        Version of this node.
    created_at
        Timezone-aware; becomes content, series and secondary-capture date and time.
    """

    translation: Translation
    route: str
    output: str = DEFAULT_FORM
    series_number_offset: int = 1000
    series_description: str | None = None
    window_hu: tuple[float, float] | None = None
    mark: Mark = Mark.CORNER
    replaces: tuple[str, ...] = ()
    software_version: str = "0"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def window(self, source_hu: tuple[float, float] | None) -> tuple[float, float]:
        """(centre, width) in HU of the whole series, where ``source_hu`` is the source's."""
        return self.window_hu or presented(self.translation.phase).window_from(source_hu)

    @property
    def mark_text(self) -> str:
        """What the visible mark reads."""
        return f"SYNTHETIC {self.translation.phase}"

    @property
    def description(self) -> str:
        """Series Description (0008,103E): SYNTHETIC comes first, at most 64 characters (LO, PS3.5 6.2).

        One that replaces an earlier derived series says so at its end, whatever the text between.
        """
        text = self.series_description or f"{called(self.translation.phase)} ({self.translation.model})"
        ascii_text = text.encode("ascii", "replace").decode("ascii").replace("\\", "/")
        ending = _REPLACES if self.replaces else ""
        return f"SYNTHETIC {ascii_text}"[: 64 - len(ending)].rstrip() + ending

    def derivation(self, *remarks: str) -> str:
        """Derivation Description (0008,2111), at most 1024 characters (ST, PS3.5 6.2).

        What ``remarks`` say of this image comes before the statement on the training data, which may be long.
        """
        made = self.translation
        text = (
            f"Synthetic {depicted(made.phase)}, predicted from non-contrast CT; no contrast agent was given. "
            f"Model {made.model_name} version {made.model_version}, weights sha256 {made.weights_sha256}, "
            f"seed {made.seed}, steps {made.steps}."
        )
        if self.replaces:
            text = f"{text} Replaces the earlier derived series {', '.join(self.replaces[-_NAMED_SERIES:])}."
        text = " ".join([text, *filter(None, remarks)])
        if made.training_statement:
            text = f"{text} Training data: {made.training_statement}"
        return text.encode("ascii", "replace").decode("ascii")[:1024]
