"""Images of several patients, studies, acquisitions or reconstructions under one Series Instance UID."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.config import Route
from dicom_node.series import Decision, examine_series
from dicom_node.series.rules import OneAcquisition, OnePatient, UniqueInstances

Writer = Callable[..., list[Path]]


@pytest.fixture
def paths(write_ct_series: Writer) -> list[Path]:
    """Ten slices in order along the normal."""
    return write_ct_series(np.full((10, 4, 4), 40.0))


def change(paths: list[Path], **attributes: Any) -> None:
    for path in paths:
        dataset = dcmread(path)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)


def examine(paths: list[Path], *, conflicts: int = 0) -> Decision:
    route = Route(phase="arterial")
    rules = (UniqueInstances(), OnePatient(), OneAcquisition())
    return examine_series(paths, route=route, min_slices=2, conflicts=conflicts, rules=rules)


@pytest.mark.parametrize(
    ("keyword", "value", "named"),
    [
        ("PatientID", "OTHER-42", "2 Patient IDs"),
        ("PatientName", "Somebody^Else", "2 patient names"),
        ("StudyInstanceUID", "1.2.3.4", "2 Study Instance UIDs"),
    ],
)
def test_two_patients_are_refused_without_naming_them(paths: list[Path], keyword: str, value: str, named: str) -> None:
    change(paths[5:], **{keyword: value})

    problem = examine(paths).problem

    assert problem is not None
    assert problem.code == "mixed_patients"
    assert named in problem.sentence
    assert value not in problem.sentence


@pytest.mark.parametrize(
    ("keyword", "value"), [("PatientName", "TEST^MADE UP^^"), ("PatientName", ""), ("PatientID", "")]
)
def test_the_same_patient_written_differently_or_not_at_all_passes(paths: list[Path], keyword: str, value: str) -> None:
    change(paths[5:], **{keyword: value})

    assert examine(paths).accepted


@pytest.mark.parametrize(
    ("keyword", "values", "named"),
    [
        ("KVP", ("80", "140"), "KVP"),
        ("ConvolutionKernel", ("B30f", "B70f"), "Convolution Kernel"),
        ("AcquisitionNumber", ("1", "2"), "Acquisition Number"),
    ],
)
def test_alternating_acquisitions_are_refused_and_named(
    paths: list[Path], keyword: str, values: tuple[str, str], named: str
) -> None:
    change(paths[::2], **{keyword: values[0]})
    change(paths[1::2], **{keyword: values[1]})

    problem = examine(paths).problem

    assert problem is not None
    assert problem.code == "mixed_acquisitions"
    assert named in problem.sentence


@pytest.mark.parametrize(
    ("keyword", "values"), [("ConvolutionKernel", ("B30f", "B70f")), ("AcquisitionNumber", ("1", "2"))]
)
def test_parts_one_behind_the_other_pass(paths: list[Path], keyword: str, values: tuple[str, str]) -> None:
    change(paths[:5], **{keyword: values[0]})
    change(paths[5:], **{keyword: values[1]})

    assert examine(paths).accepted


def test_a_kernel_of_two_values_in_every_slice_passes(paths: list[Path]) -> None:
    change(paths, ConvolutionKernel=["I30f", "3"])

    assert examine(paths).accepted


def test_two_images_under_one_uid_are_refused_with_their_number(paths: list[Path]) -> None:
    change(paths[:2], SOPInstanceUID="1.2.3")

    problem = examine(paths).problem

    assert problem is not None
    assert problem.code == "conflicting_instances"
    assert problem.sentence.startswith("1 image came")


def test_the_same_image_twice_counts_once(paths: list[Path]) -> None:
    again = paths[0].with_name("again.dcm")
    again.write_bytes(paths[0].read_bytes())

    assert examine([*paths, again]).accepted


def test_conflicts_of_the_catalog_refuse_with_their_number(paths: list[Path]) -> None:
    problem = examine(paths, conflicts=3).problem

    assert problem is not None
    assert problem.code == "conflicting_instances"
    assert problem.sentence.startswith("3 images came")
