"""What the catalog takes in and hands out of derived series."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DerivedInstance:
    """One written instance of a derived series; ``path`` is absolute.

    ``rejects_job``: it is a note that rejects the derived series of that job, and no image. ``series_instance_uid`` is empty
    for a note that an earlier version of the node wrote.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    path: Path
    rejects_job: int | None = None


@dataclass(frozen=True, kw_only=True)
class HeldDerived:
    """A derived series whose files are on disk, ``count`` images of which ``first`` is the first.

    A job that has told its uncertainty has two.
    """

    job_id: int
    study_instance_uid: str
    series_instance_uid: str
    first: Path
    count: int


@dataclass(frozen=True, kw_only=True)
class ImageReference:
    """An image by its UIDs."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


@dataclass(frozen=True, kw_only=True)
class EarlierSeries:
    """A derived series of the same source series on the same route, which some destinations still hold as valid.

    ``images``: those of its uncertainty included, in order; their files may be gone. Of a job that was done anew it may be the
    uncertainty alone.
    """

    job_id: int
    series_instance_uid: str
    images: tuple[ImageReference, ...]
    destinations: tuple[str, ...]

    @property
    def uncertainty_series_instance_uid(self) -> str | None:
        """Of its uncertainty, if that was told."""
        return next(
            (one.series_instance_uid for one in self.images if one.series_instance_uid != self.series_instance_uid),
            None,
        )

    def without(self, made: Collection[str]) -> "EarlierSeries":
        """What is left of it where these series, by UID, are made again."""
        return replace(self, images=tuple(one for one in self.images if one.series_instance_uid not in made))
