"""A series on one route, as the rules of selection see it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydicom import Dataset

from dicom_node.config import Route
from dicom_node.series.headers import SeriesHeaders
from dicom_node.series.instances import kind_of
from dicom_node.series.pixels import SeriesPixels, read_pixels
from s2ldm_core.geometry import SeriesGeometry, series_geometry
from s2ldm_core.io.duplicates import same_image
from s2ldm_core.io.frames import frame_headers, frame_number
from s2ldm_core.io.header import sop_instance_uid


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A series that may be translated. What follows from its headers is worked out once, when the first rule asks.

    Attributes
    ----------
    read
        The headers of all its files, and the files that have none.
    route
        The route that it came in on, with its settings.
    min_slices
        Fewest slices that are translated: what the route, the series settings and the model ask for.
    refused_conflicts
        How many instances were not taken into the series because it held another one with their SOP Instance UID.
    """

    read: SeriesHeaders
    route: Route
    min_slices: int
    refused_conflicts: int = 0

    @cached_property
    def slices(self) -> tuple[tuple[Path, Dataset], ...]:
        """Files and headers of what could be the volume, of an enhanced multi-frame CT one for each frame.

        Some scanners put the localizer, and some PACS a dose report, into the axial series; these have no place in the
        volume. A multi-frame image beside single frames may hold the very same slices, so it is not left out.
        """
        kinds = {kind for kind, _, _ in self._instances}
        wanted = {"slice", "multi_frame"} if "slice" in kinds else set()
        return tuple((path, header) for kind, path, header in self._instances if kind in wanted)

    @cached_property
    def set_aside(self) -> tuple[tuple[str, Dataset], ...]:
        """Kind and header of what is in the series but not part of the volume."""
        return tuple((kind, header) for kind, _, header in self._instances if kind not in ("slice", "multi_frame"))

    @property
    def conflicts(self) -> int:
        """How many images there are under the SOP Instance UID of another, different one."""
        return self.refused_conflicts + self._distinct[1]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each readable instance is; see `dicom_node.series.instances.kind_of`."""
        return tuple(kind for kind, _, _ in self._instances)

    @property
    def slice_headers(self) -> tuple[Dataset, ...]:
        """The headers of `slices`."""
        return tuple(header for _, header in self.slices)

    @cached_property
    def geometry(self) -> SeriesGeometry:
        """Order, spacing and place of `slices`.

        Raises
        ------
        GeometryError
            They form no stack that the route takes; the rule `dicom_node.series.rules.regular_stack` refuses such a series, so that
            those behind it need not mind.
        """
        return series_geometry(self.slice_headers, handling=self.route.stack_handling)

    @property
    def ordered_slices(self) -> tuple[tuple[Path, int | None], ...]:
        """File of each of `slices`, and which frame of it, in order along the slice normal; errors as in `geometry`."""
        ordered = (self.slices[index] for index in self.geometry.order)
        return tuple((path, frame_number(header)) for path, header in ordered)

    @cached_property
    def pixels(self) -> SeriesPixels:
        """What the rules look at of the pixels of `slices`, decoded once; for rules behind `geometry`'s.

        Raises
        ------
        VolumeError
            They cannot be decoded; `dicom_node.series.rules.hounsfield_units` refuses such a series.
        """
        return read_pixels(self.ordered_slices, self.geometry)

    @cached_property
    def _instances(self) -> tuple[tuple[str, Path, Dataset], ...]:
        """Kind, file and header of every instance, or of each of its frames; of those with the same UID the first."""
        return tuple(
            (kind_of(frame), path, frame) for path, header in self._distinct[0] for frame in frame_headers(header)
        )

    @cached_property
    def _distinct(self) -> tuple[list[tuple[Path, Dataset]], int]:
        """The first file of each SOP Instance UID, and how many of the others hold another image."""
        first: dict[str, tuple[Path, Dataset]] = {}
        unlike = 0
        for path, header in zip(self.read.paths, self.read.headers, strict=True):
            known = first.setdefault(sop_instance_uid(header) or str(path), (path, header))
            unlike += known[0] is not path and not same_image(known[0], path)
        return list(first.values()), unlike
