"""Which files of a folder are the slices to translate: the node's own selection, for files that came by no network."""

from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset

from dicom_node.config import Route
from dicom_node.errors import TranslateError
from dicom_node.series import examine_series
from dicom_node.series.headers import SELECTION_KEYWORDS
from dicom_node.series.instances import kind_of
from s2ldm_core.errors import VolumeError
from s2ldm_core.io.dicom import choose_series, files_below
from s2ldm_core.io.series import group_by_series


def select_slices(path: Path, *, route: Route, min_slices: int, series_uid: str | None = None) -> list[Path]:
    """The slices of a DICOM series, as the node would select them on ``route``.

    Localizers and dose reports beside them are set aside; the same image twice is taken once. A multi-frame file stands
    there once for each of its frames.

    Parameters
    ----------
    path
        A folder, or a file.
    series_uid
        Which series to take when there are several with CT slices.

    Raises
    ------
    VolumeError
        There is no such series, or there are several; see `s2ldm_core.io.read_dicom`.
    TranslateError
        The series is refused, for the reason that selection gives.
    """
    files = files_below(path) if path.is_dir() else [path]
    series = _series_of(files, in_folder=path.is_dir())
    paths = choose_series(series, series_uid, len(files), {})
    decision = examine_series(paths, route=route, min_slices=min_slices)
    if decision.problem is not None:
        problem = decision.problem
        raise TranslateError(problem.code, problem.sentence, problem.remedy)
    return list(decision.slices)


def _series_of(files: Sequence[Path], *, in_folder: bool) -> dict[str, list[Path]]:
    """Files by Series Instance UID; of a folder only series with what may be a slice, if there is one."""
    kinds: dict[Path, str] = {}

    def keep(path: Path, header: Dataset) -> Path:
        kinds[path] = kind_of(header)
        return path

    def unusable(_: Path, error: VolumeError) -> None:
        if error.code != "not_dicom" or not in_folder:
            raise error

    found = group_by_series(files, keep=keep, unusable=unusable, keywords=SELECTION_KEYWORDS)
    series = {uid: one.files for uid, one in found.items()}
    with_slices = {
        uid: paths for uid, paths in series.items() if any(kinds[path] in ("slice", "multi_frame") for path in paths)
    }
    return with_slices or series
