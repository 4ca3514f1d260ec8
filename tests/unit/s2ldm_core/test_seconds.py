"""A phase asked for as a time: heeded where the system knows seconds, refused where it does not."""

import json
from pathlib import Path

import numpy as np
import pytest

from s2ldm_core import Translator, Volume
from s2ldm_core.errors import TranslationError
from s2ldm_core.package import METADATA, ModelPackage
from s2ldm_core.seconds import seconds_of
from tests.tiny_model import write_tiny_package


@pytest.fixture(scope="module")
def volume() -> Volume:
    hu = np.random.default_rng(0).normal(40.0, 10.0, (8, 40, 40)).astype(np.float32)
    return Volume(hu=hu, affine=np.diag([1.5, 1.5, 3.0, 1.0]))


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [
        ("35s", 35.0),
        ("7.5s", 7.5),
        ("0s", 0.0),
        *((other, None) for other in ("arterial", "35", "s", "-3s", "35s\n", "99999s", "٣s")),
    ],
)
def test_seconds_are_a_number_and_an_s(phase: str, seconds: float | None) -> None:
    assert seconds_of(phase) == seconds


def test_a_time_is_the_condition_s_seconds(tmp_path: Path, volume: Volume) -> None:
    translator = Translator.load(write_tiny_package(tmp_path / "tiny", seconds=True), device="cpu")
    asked = translator.translate(volume, phase="50s")
    assert asked.translation.phase == "50s"
    told = translator.translate(volume, phase="venous", values={"seconds": 50.0})
    assert np.array_equal(asked.volume.hu, told.volume.hu)
    assert not np.array_equal(asked.volume.hu, translator.translate(volume, phase="90s").volume.hu)


def test_a_model_without_seconds_says_so(tmp_path: Path, volume: Volume) -> None:
    translator = Translator.load(write_tiny_package(tmp_path / "tiny"), device="cpu")
    with pytest.raises(TranslationError, match="cannot be asked for a time such as 35s") as caught:
        translator.translate(volume, phase="35s")
    assert caught.value.code == "seconds_unknown"
    with pytest.raises(TranslationError) as caught:
        translator.translate(volume, phase="35sec")
    assert caught.value.code == "unknown_phase"


def test_a_package_s_metadata_say_what_it_can_be_asked_for(tmp_path: Path) -> None:
    with_seconds = ModelPackage.load(write_tiny_package(tmp_path / "a", seconds=True)).metadata
    plain = ModelPackage.load(write_tiny_package(tmp_path / "b")).metadata
    assert [with_seconds.offers(p) for p in ("venous", "35s", "late")] == [True, True, False]
    assert [plain.offers(p) for p in ("venous", "35s")] == [True, False]
    assert (with_seconds.offered, plain.offered) == ("arterial, venous, seconds such as 35s", "arterial, venous")


def test_packages_that_heed_nothing_are_written_as_before_there_were_values(tmp_path: Path) -> None:
    package = ModelPackage.load(write_tiny_package(tmp_path / "old"))
    assert {"values", "answers"}.isdisjoint(json.loads((package.path / METADATA).read_text()))
    package.verify()
    ModelPackage.load("demo").verify()
