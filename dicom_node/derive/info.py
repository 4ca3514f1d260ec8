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
    replaces_uncertainty
        Likewise of those that hold their uncertainty.
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
    replaces_uncertainty: tuple[str, ...] = ()
    software_version: str = "0"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def window(self, source_hu: tuple[float, float] | None) -> tuple[float, float]:
        """(centre, width) in HU of the whole series, where ``source_hu`` is the source's."""
        return self.window_hu or presented(self.translation.phase).window_from(source_hu)

    @property
    def word(self) -> str:
        """What is said first wherever the series is named."""
        return "SYNTHETIC"

    @property
    def mark_text(self) -> str:
        """What the visible mark reads."""
        return f"{self.word} {self.translation.phase}"

    @property
    def window_explanation(self) -> str:
        """Window Center & Width Explanation (0028,1055), at most 64 characters."""
        return f"{self.word} {called(self.translation.phase).upper()}"[:64]

    @property
    def comments(self) -> str:
        """How Image Comments (0020,4000) begin."""
        return "Synthetic image. Not acquired. Not for primary diagnosis."

    @property
    def contribution(self) -> str:
        """What the model has contributed (0018,A003)."""
        made = self.translation
        return f"Synthesis of the {depicted(made.phase)}; weights sha256 {made.weights_sha256}"

    @property
    def description(self) -> str:
        """Series Description (0008,103E): its `word` comes first, at most 64 characters (LO, PS3.5 6.2).

        One that replaces an earlier derived series says so at its end, whatever the text between.
        """
        made = self.translation
        dose = "" if made.contrast_dose == 1.0 else f", contrast dose {made.contrast_dose:g}"
        text = self.series_description or f"{called(made.phase)}{dose} ({made.model})"
        ascii_text = text.encode("ascii", "replace").decode("ascii").replace("\\", "/")
        ending = _REPLACES if self.replaces else ""
        return f"{self.word} {ascii_text}"[: 64 - len(ending)].rstrip() + ending

    def derivation(self, *remarks: str) -> str:
        """Derivation Description (0008,2111), at most 1024 characters (ST, PS3.5 6.2).

        What ``remarks`` say of this image comes before the statement on the training data, which may be long.
        """
        made = self.translation
        model = (
            f"Model {made.model_name} version {made.model_version}, weights sha256 {made.weights_sha256}, "
            f"seed {made.seed}, steps {made.steps}."
        )
        parts = " and ".join(f"{share:g} times the {phase} phase's" for phase, share in made.shares.items())
        summed = f"Enhancement summed of {parts}." if parts else ""
        dosed = "" if made.contrast_dose == 1.0 else f"Contrast dose {made.contrast_dose:g} of the usual."
        earlier = ", ".join(self.replaces[-_NAMED_SERIES:])
        replaced = f"Replaces the earlier derived series {earlier}." if earlier else ""
        training = f"Training data: {made.training_statement}" if made.training_statement else ""
        text = " ".join(filter(None, [self.shown, model, summed, dosed, replaced, *remarks, self.measured, training]))
        return text.encode("ascii", "replace").decode("ascii")[:1024]

    @property
    def shown(self) -> str:
        """What the images show, in a sentence."""
        phase = depicted(self.translation.phase)
        return f"Synthetic {phase}, predicted from non-contrast CT; no contrast agent was given."

    @property
    def measured(self) -> str:
        """What is known of how good they are, in a sentence; may be empty."""
        return ""
