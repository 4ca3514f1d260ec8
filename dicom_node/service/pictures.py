"""Volumes to look at: of a source series, of the derived one and of its uncertainty, as the files hold them."""

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels import iter_pixels

from dicom_node.catalog import Catalog, JobRow, JobState
from dicom_node.config import Route, SettingsSource
from dicom_node.errors import NodeError
from dicom_node.job_route import job_route
from dicom_node.series.candidate import Candidate
from dicom_node.series.headers import read_headers
from dicom_node.service.own_folder import OwnFolder
from s2ldm_core.errors import S2LDMError
from s2ldm_core.files import atomic_path
from s2ldm_core.geometry import SeriesGeometry
from s2ldm_core.io.pixels import read_slices

#: Volumes that are kept at the same time, as many as one page shows; the one not looked at for longest goes first.
_MOST_VOLUMES = 9
#: A volume of more voxels is not shown: 2 GiB of disk.
_MOST_VOXELS = 2**30
PLANES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True, kw_only=True)
class Look:
    """A volume to look at.

    Attributes
    ----------
    hu
        ``(z, y, x)`` int16 HU, from head to feet, from front to back, from the patient's right to left; on disk.
    spacing_mm
        ``(dz, dy, dx)``.
    """

    hu: np.ndarray
    spacing_mm: tuple[float, float, float]

    def size(self, plane: str) -> int:
        """How many slices a plane has."""
        return int(self.hu.shape[PLANES.index(plane)])

    def slice(self, plane: str, index: int) -> tuple[np.ndarray, float]:
        """``(h, w)`` HU of one slice, and its height over its width of a pixel.

        Raises
        ------
        NodeError
            ``picture_index``: there is no such slice.
        """
        axis = PLANES.index(plane)
        if not 0 <= index < self.hu.shape[axis]:
            raise NodeError(
                "picture_index",
                f"The {plane} plane has {self.hu.shape[axis]} slices, counted from 0; {index} is none.",
                "Ask for one of them.",
            )
        rows, columns = (self.spacing_mm[other] for other in range(3) if other != axis)
        return np.asarray(np.take(self.hu, index, axis=axis)), rows / columns


class Pictures:
    """Makes volumes of files and keeps the last ones on disk, so that memory holds no more than a slice of each.

    Safe from several threads; one volume is made at a time.
    """

    def __init__(self, catalog: Catalog, settings: SettingsSource) -> None:
        self._catalog = catalog
        self._settings = settings
        self._lock = threading.RLock()
        self._own: OwnFolder | None = None
        self._kept: dict[str, Look] = {}
        self._geometries: dict[str, SeriesGeometry] = {}

    @property
    def _folder(self) -> Path:
        return self._all if self._own is None else self._own.path

    @property
    def _all(self) -> Path:
        return self._settings.current.node.data_dir / "pictures"

    def clear(self) -> None:
        """Remove what the last run left; where there are other nodes, what they left that are gone."""
        if self._settings.current.several_nodes:
            self._own = OwnFolder(self._all)
        else:
            shutil.rmtree(self._all, ignore_errors=True)

    def job_shown(self, series_key: int) -> JobRow | None:
        """The job of a series whose derived series is shown: the newest that has one."""
        jobs = self._catalog.jobs_of_series([series_key])[series_key]
        return next((job for job in jobs if (uid := job.derived_series_instance_uid) and self._files(job, uid)), None)

    def source(self, series_key: int) -> Look:
        """The source series as a volume.

        Raises
        ------
        NodeError
            ``picture_source_gone``, ``picture_no_volume`` or ``picture_too_large``, or what the disk says.
        CatalogError
            ``series_unknown``.
        """
        self._catalog.get_series(series_key)
        paths = [one.path for one in self._catalog.series_instances(series_key)]
        present = [path for path in paths if path is not None]
        if not present:
            raise NodeError(
                "picture_source_gone", "Retention has removed the files of the source series.", "Send the series again."
            )
        job = next(iter(self._catalog.jobs_of_series([series_key])[series_key]), None)
        route = (None if job is None else job_route(job, self._settings.current)) or Route.gone()

        def make() -> tuple[SeriesGeometry, Iterator[np.ndarray]]:
            candidate = Candidate(read=read_headers(present), route=route, min_slices=0)
            if not candidate.slices:
                raise NodeError("picture_no_volume", "The series holds no CT slices to show.")
            return candidate.geometry, (hu for hu, _ in read_slices(candidate.ordered_slices))

        with self._lock:
            return self._look(_name("source", present), make)

    def derived(self, series_key: int) -> Look:
        """The newest derived series of a source series as a volume; errors as in `source`, and ``picture_no_derived``."""
        job = self.job_shown(series_key)
        if job is None:
            raise NodeError("picture_no_derived", "The series has no derived series on this node's disk.")
        return self._on_the_grid(series_key, self._files(job, job.derived_series_instance_uid))

    def uncertainty(self, series_key: int) -> Look:
        """The uncertainty of that series as a volume; errors as in `derived`, and ``picture_no_uncertainty``."""
        job = self.job_shown(series_key)
        if job is None or not self.tells_uncertainty(job):
            raise NodeError(
                "picture_no_uncertainty",
                "The derived series has no uncertainty on this node's disk.",
                "Set the route's uncertainty to true and do the job anew.",
            )
        return self._on_the_grid(series_key, self._files(job, job.uncertainty_series_instance_uid))

    def tells_uncertainty(self, job: JobRow) -> bool:
        """Whether the uncertainty of a job's derived series can be shown."""
        uid = job.uncertainty_series_instance_uid
        return uid is not None and bool(self._files(job, uid))

    def _on_the_grid(self, series_key: int, files: list[Path]) -> Look:
        """Images of a derived series as a volume on the grid of their source."""
        with self._lock:
            self.source(series_key)
            sources = [one.path for one in self._catalog.series_instances(series_key) if one.path is not None]
            geometry = self._geometries[_name("source", sources)]
            return self._look(_name("derived", files), lambda: (geometry, _derived_slices(files)))

    def _files(self, job: JobRow, series_instance_uid: str | None) -> list[Path]:
        """Of one of the job's derived series, in slice order."""
        if job.state in (JobState.SELECTING, JobState.QUEUED, JobState.TRANSLATING, JobState.TRANSLATED):
            return []
        written = self._catalog.derived_instances(job.id)
        return [one.path for one in written if one.series_instance_uid == series_instance_uid]

    def _look(self, name: str, make: Callable[[], tuple[SeriesGeometry, Iterator[np.ndarray]]]) -> Look:
        if name in self._kept:
            self._kept[name] = self._kept.pop(name)
            return self._kept[name]
        try:
            geometry, slices = make()
            look = self._store(name, geometry, slices)
        except S2LDMError as error:
            raise NodeError(
                "picture_no_volume", f"The series cannot be shown as a volume: {error.sentence}", error.remedy
            ) from error
        except OSError as error:
            raise NodeError(
                "picture_disk",
                f"The pictures cannot be made: {error.strerror or type(error).__name__}.",
                "Check the free space and permissions of data_dir.",
            ) from error
        self._kept[name], self._geometries[name] = look, geometry
        while len(self._kept) > _MOST_VOLUMES:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._geometries.pop(oldest, None)
            (self._folder / f"{oldest}.npy").unlink(missing_ok=True)
        return look

    def _store(self, name: str, geometry: SeriesGeometry, slices: Iterator[np.ndarray]) -> Look:
        if int(np.prod(geometry.shape)) > _MOST_VOXELS:
            raise NodeError("picture_too_large", f"The series is too large to be shown: {geometry.shape} voxels.")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{name}.npy"
        with atomic_path(path) as partial:
            volume = np.lib.format.open_memmap(partial, mode="w+", dtype=np.int16, shape=geometry.shape)
            count = 0
            for count, hu in enumerate(slices, start=1):
                if count > len(volume) or hu.shape != volume.shape[1:]:
                    raise _not_like_its_source()
                volume[count - 1] = np.clip(np.rint(hu), -32768, 32767)
            if count != len(volume):
                raise _not_like_its_source()
            volume.flush()
            del volume
        hu, spacing_mm = _turned(np.load(path, mmap_mode="r"), geometry)
        return Look(hu=hu, spacing_mm=spacing_mm)


def _not_like_its_source() -> NodeError:
    return NodeError("picture_no_volume", "The images are not the slices of one volume.", "Look at them in a viewer.")


def _derived_slices(files: Sequence[Path]) -> Iterator[np.ndarray]:
    """``(h, w)`` HU of every slice of a derived series, in the order in which they were written: that of the volume."""
    for path in files:
        try:
            header = dcmread(path, stop_before_pixels=True)
            slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
            for stored in iter_pixels(path, raw=True):
                yield stored * slope + intercept
        except (InvalidDicomError, AttributeError, ValueError) as error:
            raise NodeError(
                "picture_unreadable", f"A file of the derived series cannot be read: {type(error).__name__}."
            ) from error


def _name(kind: str, files: Sequence[Path]) -> str:
    """A name for what these files hold; the node gives every received and derived file a path of its own."""
    return f"{kind}-{hashlib.sha256(chr(10).join(map(str, sorted(files))).encode()).hexdigest()[:24]}"


def _turned(volume: np.ndarray, geometry: SeriesGeometry) -> tuple[np.ndarray, tuple[float, float, float]]:
    """A view with axes from head to feet, from front to back and from right to left (LPS), and their spacing in mm."""
    along = geometry.affine[:3, :3][:, ::-1]  # columns as the array's axes: slice, row, column
    cosines = along / np.linalg.norm(along, axis=0)
    z = int(np.argmax(np.abs(cosines[2])))
    y = int(np.argmax([-1.0 if axis == z else abs(cosines[1, axis]) for axis in range(3)]))
    x = 3 - z - y
    turned_round = tuple(
        axis for axis, row, sign in ((z, 2, -1.0), (y, 1, 1.0), (x, 0, 1.0)) if cosines[row, axis] * sign < 0
    )
    spacing = geometry.spacing_mm
    return np.flip(volume, turned_round).transpose(z, y, x), (spacing[z], spacing[y], spacing[x])
