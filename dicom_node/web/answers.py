"""What the HTTP interface answers beside the catalog's rows: states, reasons and times, never patient data or paths."""

from typing import Generic, Self, TypeVar

from pydantic import BaseModel

from dicom_node.catalog import DeliveryInstanceRow, DeliveryRow, JobRow
from dicom_node.config import Route, Select

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
    """A delivery with every instance."""

    statuses: list[DeliveryInstanceRow]


class RouteAnswer(BaseModel):
    """One called AE title and what is made of the series sent to it."""

    called_ae: str
    phase: str
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
            phase=route.phase,
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
