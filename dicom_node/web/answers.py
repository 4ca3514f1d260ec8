"""What the HTTP interface answers beside the catalog's rows: states, reasons and times, never paths."""

from datetime import datetime
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import BaseModel, Field

from dicom_node.catalog import AttemptRow, DeliveryInstanceRow, DeliveryRow, JobRow, SeriesRow, Subject, TokenRow
from dicom_node.config import Route, Select
from dicom_node.people.roles import Role
from s2ldm_core.package import PackageMetadata
from s2ldm_core.problem import Problem

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """A part of a list, newest first; ``next_offset`` is null at its end."""

    items: list[Item]
    limit: int
    offset: int
    next_offset: int | None


class JobDetail(JobRow):
    """A job with its deliveries."""

    deliveries: list[DeliveryRow]


class DeliveryDetail(DeliveryRow):
    """A delivery with its last attempts and every instance."""

    tries: list[AttemptRow]
    statuses: list[DeliveryInstanceRow]


class RouteAnswer(BaseModel):
    """One called AE title and what is made of the series sent to it."""

    called_ae: str
    enabled: bool
    phase: str
    contrast_dose: float
    model: str
    output: str
    destinations: list[str]
    min_slices: int
    late: str
    resend: str
    mark: str
    enhancement_check: str
    anatomy: str
    select: Select

    @classmethod
    def of(cls, called_ae: str, route: Route, *, min_slices: int) -> Self:
        """From the configuration."""
        return cls(
            called_ae=called_ae,
            enabled=route.enabled,
            phase=route.phase,
            contrast_dose=route.contrast_dose,
            model=route.model,
            output=route.output,
            destinations=list(route.destinations),
            min_slices=min_slices,
            late=route.late,
            resend=route.resend,
            mark=route.mark,
            enhancement_check=route.enhancement_check,
            anatomy=route.anatomy,
            select=route.select,
        )


class CheckAnswer(BaseModel):
    """One part of the node."""

    name: str
    ok: bool
    detail: str


class ReadyAnswer(BaseModel):
    """Whether the node is ready for work, part by part."""

    ready: bool
    checks: list[CheckAnswer]


class ProblemAnswer(BaseModel):
    """What is wrong with a request, or stands in its way."""

    detail: str
    problem: Problem


class SeriesItem(SeriesRow):
    """A series; ``patient`` is null for those who may not know it, before selection, and once retention took the files."""

    patient: Subject | None = None


class SeriesDetail(SeriesItem):
    """A series with its jobs, newest first."""

    jobs: list[JobRow]


class Event(BaseModel):
    """Something that happened to a series, with what was known then."""

    at: datetime
    kind: str
    title: str
    facts: dict[str, Any] = {}
    problem: Problem | None = None


class VolumeAnswer(BaseModel):
    """What can be seen of a series: slices by plane, and whether there is a derived series to compare with, and its uncertainty."""

    slices: dict[str, int]
    spacing_mm: Annotated[list[float], Field(min_length=3, max_length=3)]
    derived: bool
    uncertainty: bool


class ConfigAnswer(BaseModel):
    """The configuration file; ``seen`` goes back with a change, so that nobody's change is overwritten unseen."""

    text: str
    seen: str
    version: int | None
    problem: Problem | None
    needs_restart: list[str]


class ConfigChange(BaseModel):
    """A new text for the configuration file."""

    text: str
    comment: str = ""
    seen: str | None = None


class VersionAnswer(BaseModel):
    """A version of the configuration."""

    number: int
    at: datetime
    who: str
    comment: str
    difference: str


class ChangeAnswer(BaseModel):
    """The version that a change made, and the keys of the configuration that wait for a restart."""

    version: int
    needs_restart: list[str]


class DestinationCheck(BaseModel):
    """Whether a destination is there; ``found`` says what was seen."""

    ok: bool
    found: str
    problem: Problem | None = None


class RouteTrial(BaseModel):
    """What a route would do with a stored series. ``route``: its keys as they would be; null: as they are."""

    series: int
    route: dict[str, Any] | None = None


class RuleAnswer(BaseModel):
    """What one rule of selection says, and what it saw."""

    rule: str
    objects: bool
    seen: dict[str, Any]


class TrialAnswer(BaseModel):
    """Whether a series would be translated."""

    accepted: bool
    problem: Problem | None
    rules: list[RuleAnswer]


class Redelivery(BaseModel):
    """Where to deliver again; null: everywhere it went."""

    destination: str | None = None


class Requeue(BaseModel):
    """The route that a series is taken in on, too."""

    route: str = Field(max_length=16)


class Requeued(BaseModel):
    """How many instances that route did not hold yet."""

    taken_in: int


class LogIn(BaseModel):
    """Who logs in."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1024)


class OwnPassword(BaseModel):
    """Another password for oneself."""

    password: str = Field(max_length=1024)
    new: str = Field(max_length=1024)


class NewUser(BaseModel):
    """A user to add; without a role a viewer, or an administrator if it is the first."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1024)
    role: Role | None = None


class UserChange(BaseModel):
    """What is to be another one of a user; null stays."""

    role: Role | None = None
    password: str | None = Field(default=None, max_length=1024)


class NewToken(BaseModel):
    """A token to make; without ``days`` it is valid until it is revoked."""

    name: str = Field(max_length=64)
    role: Role = Role.VIEWER
    days: float | None = Field(default=None, gt=0, le=3650)


class TokenAnswer(TokenRow):
    """A new token, which is shown only now."""

    token: str


class ModelAnswer(BaseModel):
    """A model package. ``model``: what a route's key of that name says to use it; ``added``: it can be removed."""

    key: str
    model: str
    identity: str
    added: bool
    routes: list[str]
    licences: list[str]
    metadata: PackageMetadata
