"""What holds for every output form, and what the registry promises of its names."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from highdicom._standard_utils import get_module_attribute_map
from pydicom import dcmread

from dicom_node.config import Route, default_config_path, parse_settings
from dicom_node.derive.forms import DEFAULT_FORM, FORM_NAMES, output_form
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.series import DerivedSeries, write_derived_series
from dicom_node.errors import ConfigError
from s2ldm_core.translation import Translation
from tests.paths import ROOT

Writer = Callable[..., list[Path]]


@pytest.fixture
def hu() -> np.ndarray:
    """(3, 6, 5) HU, every voxel different."""
    return (np.arange(90).reshape(3, 6, 5) * 7 - 300).astype(np.float32)


@pytest.fixture(params=FORM_NAMES)
def series(request: pytest.FixtureRequest, write_ct_series: Writer, hu: np.ndarray, tmp_path: Path) -> DerivedSeries:
    """A series in each form; its files lie in ``tmp_path / <form>``."""
    made = Translation(phase="venous", model_name="m", model_version="1", weights_sha256="0" * 64, seed=0, steps=1)
    info = DerivationInfo(translation=made, route="R", output=request.param)
    return write_derived_series(write_ct_series(hu * 0), hu, info=info, folder=tmp_path / request.param)


@pytest.mark.parametrize("name", FORM_NAMES)
def test_form_bears_the_name_it_is_registered_by(name: str) -> None:
    assert output_form(name).name == name


@pytest.mark.parametrize("name", FORM_NAMES)
def test_form_is_named_where_administrators_look(name: str) -> None:
    lines = default_config_path().read_text(encoding="utf-8").splitlines()
    (comment,) = [line.partition("#")[2] for line in lines if line.strip().startswith("output:") and "#" in line]
    assert name in re.findall(r"[\w-]+", comment)
    assert f"| `{name}` |" in (ROOT / "docs" / "add-an-output-form.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FORM_NAMES)
def test_route_takes_every_form(name: str) -> None:
    assert parse_settings({"routes": {"A": {"phase": "venous", "output": name}}}).routes["A"].output == name


def test_default_configuration_and_route_agree_on_the_default_form() -> None:
    document = yaml.safe_load(default_config_path().read_text(encoding="utf-8"))
    assert {route["output"] for route in document["routes"].values()} == {DEFAULT_FORM}
    assert Route(phase="venous").output == DEFAULT_FORM


def test_unknown_form_is_told_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings({"routes": {"A": {"phase": "venous", "output": "multiframe_sc"}}})
    assert "routes.A.output: Input should be 'sc', 'ct'" in caught.value.sentence
    assert "(did you mean 'multiframe-sc'?)" in caught.value.sentence


def test_instances_are_of_the_form_s_sop_class(series: DerivedSeries) -> None:
    (folder,) = {one.path.parent for one in series.instances}
    expected = output_form(folder.name).sop_class_uid
    assert {one.sop_class_uid for one in series.instances} == {expected}
    assert {dcmread(one.path).SOPClassUID for one in series.instances} == {expected}


def test_instances_are_files_and_nothing_else_is_left(series: DerivedSeries) -> None:
    (folder,) = {one.path.parent for one in series.instances}
    assert {one.path for one in series.instances} == set(folder.iterdir())
    for one in series.instances:
        assert dcmread(one.path).SOPInstanceUID == one.sop_instance_uid


def test_voxels_are_the_synthetic_hu(series: DerivedSeries, hu: np.ndarray) -> None:
    images = [dcmread(one.path) for one in series.instances]
    found = [image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept) for image in images]
    np.testing.assert_array_equal(np.reshape(found, hu.shape), hu)


def test_the_tables_of_the_standard_are_read_once_however_many_slices_are_on_their_way(
    write_ct_series: Writer, tmp_path: Path
) -> None:
    """Each reading takes 100 MiB for a moment, in the node's own process."""
    get_module_attribute_map.cache_clear()
    made = Translation(phase="venous", model_name="m", model_version="1", weights_sha256="0" * 64, seed=0, steps=1)
    flat = np.zeros((8, 6, 5), dtype=np.float32)
    write_derived_series(write_ct_series(flat), flat, info=DerivationInfo(translation=made, route="R"), folder=tmp_path)
    assert get_module_attribute_map.cache_info().misses == 1
