"""Routes: what is made of the series that are sent to one called AE title."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dicom_node.config.selection import Select
from dicom_node.derive.forms import DEFAULT_FORM, FORM_NAMES
from dicom_node.derive.marks import Mark
from dicom_node.phases import PHASES, UNCERTAINTY_OFFSET, presented
from dicom_node.section import Section, kind_in
from s2ldm_core import contrast_dose
from s2ldm_core.handling import Handling, StackHandling
from s2ldm_core.seconds import seconds_of

PhaseName = Annotated[
    str, kind_in(PHASES, also=lambda name: seconds_of(name) is not None, also_said=", or seconds such as 50s")
]
FormName = Annotated[str, kind_in(FORM_NAMES)]


class Window(Section):
    """A VOI window in HU (PS3.3 C.11.2.1.2)."""

    center: float
    width: float = Field(ge=1)


def _series_number_offset(route: dict[str, Any]) -> int:
    return presented(route.get("phase", "")).series_number_offset


ContrastDose = Annotated[float, Field(ge=contrast_dose.LEAST, le=contrast_dose.MOST)]
Priority = Literal["stat", "high", "routine"]


class Route(Section):
    """One called AE title: target phase, model, output form, selection rules and destinations."""

    enabled: bool = True
    priority: Priority = "routine"
    phase: PhaseName
    contrast_dose: ContrastDose = 1.0
    model: str = Field(default="demo", min_length=1)
    output: FormName = DEFAULT_FORM
    destinations: tuple[str, ...] = ()
    series_description: str | None = Field(default=None, max_length=64)
    series_number_offset: int = Field(default_factory=_series_number_offset, ge=1)
    window: Window | None = None
    mark: Mark = Mark.CORNER
    uncertainty: bool = False
    min_slices: int | None = Field(default=None, ge=2)
    late: Literal["rerun", "ignore"] = "rerun"
    resend: Literal["ignore", "redeliver"] = "ignore"
    enhancement_check: Literal["hu", "tags"] = "hu"
    anatomy: Literal["torso", "any"] = "torso"
    tilt: Handling = "refuse"
    irregular: Handling = "refuse"
    select: Select = Select()
    seed: int = Field(default=0, ge=0)
    steps: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _uncertainty_of_its_own_answer(self) -> Self:
        if self.uncertainty and self.steps is not None:
            raise ValueError(
                "uncertainty is known of the model's own number of steps alone: leave steps out, or set it to null"
            )
        return self

    @classmethod
    def gone(cls) -> Self:
        """For what comes on a route that has left the configuration: it is recorded all the same, and selection says why not."""
        return cls(phase="arterial", model="none")

    @property
    def asked(self) -> str:
        """What its models are asked for, in words."""
        return self.phase if self.contrast_dose == 1.0 else f"{self.phase} at contrast dose {self.contrast_dose:g}"

    def kept(self) -> dict[str, Any]:
        """As plain values for a job; without the usual dose, a key that a node of the version before, at work on the same jobs, does not
        know.
        """
        return self.model_dump(mode="json", exclude={"contrast_dose"} if self.contrast_dose == 1.0 else None)

    @property
    def series_number_offsets(self) -> frozenset[int]:
        """What is added to the source's Series Number for each of its derived series."""
        offset = self.series_number_offset
        return frozenset({offset, offset + UNCERTAINTY_OFFSET} if self.uncertainty else {offset})

    @property
    def stack_handling(self) -> StackHandling:
        """What is done with series that are no regular grid."""
        return StackHandling(tilt=self.tilt, irregular=self.irregular)


def default_routes() -> dict[str, Route]:
    """The routes of a configuration that names none."""
    return {
        "CECT_ART": Route(phase="arterial", destinations=("pacs",)),
        "CECT_VEN": Route(phase="venous", destinations=("pacs",)),
    }
