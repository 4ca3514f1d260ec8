"""What a node looks at of its routes' models before it starts."""

from pathlib import Path

import pytest

from dicom_node.config import Settings, parse_settings
from dicom_node.errors import ConfigError
from dicom_node.service.models import check_models
from s2ldm_core.package import ModelPackage, with_times
from s2ldm_core.times import Times
from tests.tiny_model import with_spread, write_tiny_package


def settings(model: Path, phase: str, **route: object) -> Settings:
    return parse_settings({"routes": {"CECT": {"phase": phase, "model": str(model), **route}}})


def test_phase_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    check_models(settings(package, "arterial"))

    with pytest.raises(ConfigError) as raised:
        check_models(settings(package, "delayed"))

    assert raised.value.code == "phase_unknown"
    assert "routes.CECT" in raised.value.sentence


def test_model_that_is_missing_may_come_later(tmp_path: Path) -> None:
    check_models(settings(tmp_path / "none", "delayed"))


def test_a_route_may_ask_for_seconds_where_the_model_heeds_them(tmp_path: Path) -> None:
    check_models(settings(write_tiny_package(tmp_path / "seconds", seconds=True), "35s"))
    with pytest.raises(ConfigError, match=r"asks the model .* for the phase 35s; it knows arterial, venous"):
        check_models(settings(write_tiny_package(tmp_path / "plain"), "35s"))


def test_a_route_may_ask_for_a_time_that_lies_between_the_model_s_phases(tmp_path: Path) -> None:
    tiny = ModelPackage.load(write_tiny_package(tmp_path / "tiny"))
    times = Times(seconds=(35.0, 72.0), weights={"arterial": (1.0, 0.0), "venous": (0.0, 1.0)})
    model = with_times(tiny, tmp_path / "times", times=times, version="1").path
    check_models(settings(model, "50s"))
    with pytest.raises(ConfigError, match="phase 80s; it knows arterial, venous, any time from 35s to 72s"):
        check_models(settings(model, "80s"))


def test_uncertainty_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    check_models(settings(with_spread(package, tmp_path / "told"), "arterial", uncertainty=True))
    check_models(settings(package, "arterial", uncertainty=False))
    check_models(settings(tmp_path / "none", "arterial", uncertainty=True))

    with pytest.raises(ConfigError, match=r"routes\.CECT asks the model .* for the uncertainty") as raised:
        check_models(settings(package, "arterial", uncertainty=True))

    assert raised.value.code == "uncertainty_unknown"
