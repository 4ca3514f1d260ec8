"""What the routes would do with files of a folder: the node's own selection, on files that came by no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.config import Route, Settings
from dicom_node.errors import NodeError
from dicom_node.series import Decision, examine_series
from dicom_node.series.headers import SELECTION_KEYWORDS
from dicom_node.series.rules import RULES
from dicom_node.series.selection import rule_name
from dicom_node.service.models import model_min_slices
from s2ldm_core.io.series import group_by_series


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One series on one route.

    Attributes
    ----------
    series_uid
        Series Instance UID.
    files
        Its files.
    title, route
        The route.
    decision
        What selection says, with every rule's answer.
    """

    series_uid: str
    files: tuple[Path, ...]
    title: str
    route: Route
    decision: Decision

    @property
    def not_asked(self) -> tuple[str, ...]:
        """The rules behind the one that objected."""
        return tuple(rule_name(rule) for rule in RULES[len(self.decision.findings) :])


def try_series(
    files: Sequence[Path], *, series_uid: str, title: str, route: Route, min_slices: int, conflicts: int = 0
) -> Trial:
    """Ask a route's rules about the files of one series. ``min_slices`` is what route and settings ask for."""
    least = max(min_slices, model_min_slices(route.model))
    decision = examine_series(files, route=route, min_slices=least, conflicts=conflicts)
    return Trial(series_uid=series_uid, files=tuple(files), title=title, route=route, decision=decision)


def try_folder(folder: Path, settings: Settings, routes: Mapping[str, Route]) -> tuple[list[Trial], int]:
    """Ask every route's rules about every series in a folder. Nothing is sent or stored.

    Returns
    -------
    tuple
        The trials, series by series, and how many files are not DICOM.

    Raises
    ------
    NodeError
        ``no_series``: there is none.
    """
    not_dicom: list[Path] = []
    groups = group_by_series(
        (path for path in sorted(folder.rglob("*")) if path.is_file()),
        keep=lambda path, _: path,
        unusable=lambda path, _: not_dicom.append(path),
        keywords=SELECTION_KEYWORDS,
    )
    if not groups:
        raise NodeError("no_series", f"There is no DICOM series in {folder}.", "Name a folder with DICOM files.")
    trials = [
        try_series(found.files, series_uid=uid, title=title, route=route, min_slices=settings.min_slices(title))
        for uid, found in groups.items()
        for title, route in routes.items()
    ]
    return trials, len(not_dicom)
