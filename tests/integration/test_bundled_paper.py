"""The paper's own system as it is bundled: quantised, drawn whole from its latents, sampled, and served on a route by its name."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from rich.console import Console

from dicom_node.demo.run import run_demo
from s2ldm_core import Translator
from s2ldm_core.phantom import Phantom
from s2ldm_core.systems.s2ldm import S2LDM
from s2ldm_core.volume import Volume
from tests.integration.test_demo import workers


@pytest.fixture(scope="module")
def translator() -> Any:
    return Translator.load("paper", device="cpu", refuse_answers=False)


@pytest.fixture(scope="module")
def native() -> Any:
    phantom = Phantom(100_003, matrix=(64, 64), slices=8, spacing_mm=(3.0, 3.0, 3.0))
    return Volume(hu=phantom.hu("native", noise_seed=1), affine=phantom.affine)


def test_it_is_the_system_as_printed(translator: Translator) -> None:
    system = translator.package.build()
    assert isinstance(system, S2LDM)
    config = system.config
    assert (config.autoencoder.kind, config.diffusion.mode) == ("vq", "concat")
    assert config.syncretic
    assert config.mask.enabled
    assert system.traits.redraws
    assert config.stages == ("autoencoder", "diffusion")
    assert translator.default_steps > 1
    assert translator.metadata.answers is not None


def test_its_answer_is_a_sample(translator: Translator, native: Volume) -> None:
    first, again, other = (translator.translate(native, phase="venous", seed=seed).volume.hu for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 5.0


def test_a_route_serves_it_by_name(phantom_series: Any, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    report = run_demo(input=phantom_series, output=tmp_path / "demo", model="paper", console=console)
    assert report.passed
    for folder in report.derived.values():
        assert all("paper" in str(dcmread(path).DerivationDescription) for path in folder.iterdir())
    assert workers() == []
