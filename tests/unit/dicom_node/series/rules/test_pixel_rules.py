"""What the pixels say: whether they are Hounsfield units, and of a torso."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.config import Route
from dicom_node.series import Decision, examine_series
from s2ldm_core.phantom import Phantom
from tests.ct_series import body_hu
from tests.units_gone_wrong import UNITS

Writer = Callable[..., list[Path]]
SPACING_MM = (5.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def torso() -> np.ndarray:
    phantom = Phantom(7, matrix=(96, 96), slices=12, spacing_mm=SPACING_MM, region="abdomen")
    return np.clip(np.rint(phantom.hu("native", noise_seed=3)), -1024, 3071)


def examine(paths: list[Path], anatomy: Literal["torso", "any"] = "torso") -> Decision:
    return examine_series(paths, route=Route(phase="arterial", anatomy=anatomy), min_slices=8)


def test_a_torso_passes(write_ct_series: Writer, torso: np.ndarray) -> None:
    decision = examine(write_ct_series(torso, spacing_mm=SPACING_MM))

    assert decision.accepted
    assert abs(decision.details["air_hu"] + 1000) < 30
    assert sum(decision.details["regions"].values()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", list(UNITS)[:4])
def test_other_units_are_refused(write_ct_series: Writer, torso: np.ndarray, name: str) -> None:
    wrong = np.clip(UNITS[name](torso), -1024, 31000)

    assert examine(write_ct_series(wrong, spacing_mm=SPACING_MM)).code in {"not_hounsfield", "mixed_units"}


def test_slices_in_other_units_are_named(write_ct_series: Writer, torso: np.ndarray) -> None:
    mixed = torso.copy()
    mixed[4] += 1024

    decision = examine(write_ct_series(mixed, spacing_mm=SPACING_MM))

    assert decision.code == "mixed_units"
    assert decision.problem is not None
    assert "slice 5" in decision.problem.sentence


def test_what_is_no_torso_is_refused_unless_the_route_takes_any(write_ct_series: Writer) -> None:
    paths = write_ct_series(body_hu(12), spacing_mm=SPACING_MM)

    assert examine(paths).code == "not_torso"
    assert examine(paths, "any").accepted


@pytest.mark.parametrize("tags", [{"BodyPartExamined": "HEAD"}, {"SeriesDescription": "CCT nativ"}])
def test_tags_that_an_image_contradicts_surely_are_only_noted(
    write_ct_series: Writer, torso: np.ndarray, tags: dict[str, Any]
) -> None:
    paths = write_ct_series(torso, spacing_mm=SPACING_MM, **tags)

    decision = examine(paths)

    assert decision.accepted
    assert decision.details["region_contradicts"] == f"{next(iter(tags))}: not torso"


def test_pixels_are_decoded_once_for_all_rules(
    write_ct_series: Writer, torso: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicom_node.series import pixels

    read: list[Path] = []
    decode = pixels.read_slices

    def noted(slices: Iterable[tuple[Path, int | None]]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        asked = list(slices)
        read.extend(path for path, _ in asked)
        return decode(asked)

    monkeypatch.setattr(pixels, "read_slices", noted)
    paths = write_ct_series(torso, spacing_mm=SPACING_MM)

    assert examine(paths).accepted
    assert sorted(read) == sorted(paths)
    assert dcmread(paths[0]).Rows == 96


@pytest.mark.parametrize(("part", "code"), [("ABDOMEN", "accepted"), (None, "region_unknown"), ("WRIST", "not_torso")])
def test_in_a_field_of_64_mm_the_tags_decide(
    write_ct_series: Writer, torso: np.ndarray, part: str | None, code: str
) -> None:
    """A spine in a narrow field shows no skin, so that it looks like a limb."""
    middle = tuple(slice(size // 2 - 8, size // 2 + 8) for size in torso.shape[1:])
    tags = {} if part is None else {"BodyPartExamined": part}
    paths = write_ct_series(torso[:, middle[0], middle[1]], spacing_mm=SPACING_MM, **tags)
    assert examine(paths).code == code
