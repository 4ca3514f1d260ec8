"""One phantom's phases as DICOM and as NIfTI, for trees that are made of copies of them."""

from pathlib import Path

import pytest

from s2ldm_core.io import read_volume, write_volume
from tests.prepare_trees import small_phantom, write_phase


@pytest.fixture(scope="session")
def phases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One DICOM series per phase, of one phantom, that name no phase but by their folder."""
    folder, phantom = tmp_path_factory.mktemp("phases"), small_phantom()
    mute = {"SeriesDescription": "ABD", "StudyDescription": "", "ProtocolName": "", "ContrastBolusAgent": None}
    for phase in ("native", "arterial", "venous", "delayed"):
        write_phase(phantom, folder / phase, phase, **mute)
    return {phase: folder / phase for phase in ("native", "arterial", "venous", "delayed")}


@pytest.fixture(scope="session")
def images(phases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    for phase, series in phases.items():
        write_volume(read_volume(series), folder / f"{phase}.nii.gz")
    return {phase: folder / f"{phase}.nii.gz" for phase in phases}
