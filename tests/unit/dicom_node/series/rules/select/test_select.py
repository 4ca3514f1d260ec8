"""A route selects series by what all their slices state; what it does not select is refused, with what was seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.config import Route, parse_settings
from dicom_node.errors import ConfigError
from dicom_node.series import Decision, examine_series
from dicom_node.series.rules.select.values import matches
from tests.ct_series import body_hu

Writer = Callable[..., list[Path]]

STATED: dict[str, Any] = {
    "BodyPartExamined": "CHEST",
    "SeriesDescription": "Thorax nativ 2.0",
    "ConvolutionKernel": ["Br40f", "3"],
    "Manufacturer": "SIEMENS",
    "SliceThickness": "2.0",
}


def examine(paths: list[Path], **select: Any) -> Decision:
    route = Route.model_validate({"phase": "arterial", "anatomy": "any", "enhancement_check": "tags", "select": select})
    return examine_series(paths, route=route, min_slices=2)


@pytest.fixture
def paths(write_ct_series: Writer) -> list[Path]:
    """Ten axial slices, 2 mm apart."""
    return write_ct_series(body_hu(10), **STATED)


@pytest.mark.parametrize(
    ("criterion", "takes", "takes_not"),
    [
        (
            "body_part",
            ["CHEST", "chest", "CH*", ["HEAD", "CHEST"], "!HEAD"],
            ["HEAD", "CHES", "!C*", ["CHEST", "!*ST"]],
        ),
        ("description", ["*nativ*", "thorax*", "!*CONTRAST*"], ["nativ", "!*NATIV*"]),
        ("kernel", ["Br??f", "3", "[AB]r*"], ["Bl*", 4]),
        ("manufacturer", ["Siemens*"], ["GE*"]),
        ("image_type", ["ORIGINAL", ["AXIAL", "HELICAL"]], ["DERIVED", ["ORIGINAL", "!AXIAL"]]),
        ("slice_thickness_mm", [[1, 3], [2, 2], [None, 2.5], [1, None]], [[2.5, 5], [None, 1.5]]),
        ("coverage_mm", [[15, 25], [20, 20]], [[100, None], [None, 19]]),
        ("orientation", ["axial", ["coronal", "axial"]], ["sagittal", ["coronal", "sagittal"]]),
    ],
)
def test_criterion_takes_what_it_says(
    paths: list[Path], criterion: str, takes: list[Any], takes_not: list[Any]
) -> None:
    for value in takes:
        assert examine(paths, **{criterion: value}).code == "accepted", value
    for value in takes_not:
        decision = examine(paths, **{criterion: value})
        assert decision.code == "not_selected", value
        assert f"select.{criterion}" in decision.reason


def test_every_slice_is_asked_and_the_values_are_told(paths: list[Path]) -> None:
    for path in paths[4:6]:
        header = dcmread(path)
        header.BodyPartExamined = "HEAD"
        header.save_as(path)

    decision = examine(paths, body_part="CHEST")

    assert decision.problem is not None
    assert (
        decision.problem.sentence == "The route does not select 2 of 10 images: their Body Part Examined is HEAD (2)."
    )
    assert decision.details["select_body_part"] == {"CHEST": 8, "HEAD": 2}


def test_missing_value_is_not_selected_but_by_exclusion(write_ct_series: Writer) -> None:
    paths = write_ct_series(body_hu(3))

    assert examine(paths, kernel="B*").code == "not_selected"
    assert "missing (3)" in examine(paths, kernel="B*").reason
    assert examine(paths, slice_thickness_mm=[1, 3]).code == "not_selected"
    assert examine(paths, kernel="!B*").code == "accepted"


def test_coronal_stack_is_coronal(write_ct_series: Writer) -> None:
    lean = np.radians(10)
    paths = write_ct_series(body_hu(4), orientation=(1, 0, 0, 0, np.sin(lean), -np.cos(lean)))

    assert examine(paths, orientation="coronal").code == "accepted"
    assert examine(paths, orientation="axial").code == "not_selected"


def test_free_text_is_told_to_who_tests_and_kept_out_of_the_record(paths: list[Path]) -> None:
    decision = examine(paths, description="ABDOMEN*")

    assert "nativ" not in decision.reason + str(decision.details)
    assert dict(decision.findings)["select.description"].seen == {"description": {"Thorax nativ 2.0": 10}}


def test_rules_that_select_tell_what_they_saw_also_where_nothing_is_asked(paths: list[Path]) -> None:
    seen = {name: finding.seen for name, finding in examine(paths).findings}

    assert seen["select.kernel"] == {"kernel": {"Br40f\\3": 10}}
    assert seen["select.coverage"] == {"coverage_mm": 20.0}
    assert not any(name.startswith("select_") for name in examine(paths).details)


def test_pattern_that_makes_a_regular_expression_explode_is_matched_at_once() -> None:
    assert not matches(["A" * 64], ["*A" * 31 + "*B"])


@pytest.mark.parametrize(
    "select",
    [
        {"slice_thickness_mm": [3, 1]},
        {"slice_thickness_mm": [None, None]},
        {"slice_thickness_mm": [-1, 3]},
        {"coverage_mm": 100},
        {"orientation": "oblique"},
        {"body_part": "x" * 65},
        {"kernel": ""},
        {"image_type": ["!"]},
        {"kernle": "B*"},
    ],
)
def test_selection_that_makes_no_sense_is_an_error_of_the_configuration(select: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"select"):
        parse_settings({"routes": {"CECT_ART": {"phase": "arterial", "select": select}}})
