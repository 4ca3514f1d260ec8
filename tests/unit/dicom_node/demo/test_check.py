"""What the demo demands of a derived series of its phantom."""

from pathlib import Path

import pytest

from dicom_node.demo.check import _check_organs, receive_series
from dicom_node.demo.source import DemoSource
from s2ldm_core.phantom import Phantom
from s2ldm_core.volume import Volume


@pytest.fixture(scope="module")
def source() -> DemoSource:
    phantom = Phantom(3, matrix=(96, 96), slices=24, spacing_mm=(6.0, 4.0, 4.0), region="abdomen")
    return DemoSource(
        title="Digital phantom",
        paths=(),
        volume=Volume(hu=phantom.hu("native"), affine=phantom.affine),
        phantom=phantom,
    )


def _verdict(source: DemoSource, share: float) -> tuple[bool, str]:
    assert source.phantom is not None
    change = source.phantom.hu("venous") - source.phantom.hu("native")
    (check,) = _check_organs(source, source.volume.hu + share * change, phase="venous")
    return check.passed, check.detail


@pytest.mark.parametrize(("share", "passes"), [(1.0, True), (0.75, True), (0.2, False), (2.0, False)])
def test_organs_must_enhance_about_as_much_as_they_truly_do(source: DemoSource, share: float, passes: bool) -> None:
    assert _verdict(source, share)[0] is passes


def test_the_detail_names_the_organs_that_came_out_wrong(source: DemoSource) -> None:
    assert "liver +" in _verdict(source, 0.2)[1]


def test_a_series_whose_truth_is_unknown_is_not_judged_by_organ(source: DemoSource) -> None:
    own = DemoSource(title="own", paths=(Path("nothing.dcm"),), volume=source.volume)
    names = {check.name for check in receive_series([], own, phase="venous").checks}
    assert "the right organs enhance" not in names
