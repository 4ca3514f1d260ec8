"""Real unregistered phases of one study, written as DICOM with all contrast phases in one series, through ``prepare``."""

import os
from pathlib import Path

import numpy as np
import pytest

from s2ldm_core.io import read_volume
from tests.ct_series import ct_slice
from train.prepare import PrepareOptions, prepare
from train.prepare.quality import edge_correlation
from train.store import PairStore

# What another registration of the same pairs came to: shared/data/pairs3d/README.md. The second takes a minute of one core, and tells
# nothing that the first does not: S2LDM_ALL_PAIRS=1 registers both.
_PATIENTS = ("hcc_007_67834", *(("hcc_005_36548",) if os.environ.get("S2LDM_ALL_PAIRS") else ()))


def _write(image: Path, folder: Path, *, patient: str, series: int, acquisition: int) -> None:
    """Slices of a NIfTI volume as the CT that they came from; nothing in the header names a phase."""
    volume = read_volume(image)
    folder.mkdir(parents=True, exist_ok=True)
    x, y, z = (volume.affine[:3, axis] / np.linalg.norm(volume.affine[:3, axis]) for axis in range(3))
    assert abs(float(z[2])) == pytest.approx(1.0, abs=1e-4)
    _, dy, dx = volume.spacing_mm
    for index, plane in enumerate(np.clip(np.rint(volume.hu), -1024, 3071).astype(np.int16)):
        position = volume.affine[:3, 3] + volume.affine[:3, 2] * index
        dataset = ct_slice(
            (plane + 1024).astype(np.uint16),
            tuple(float(value) for value in position),
            orientation=(*x, *y),
            pixel_spacing=(dy, dx),
            series_uid=f"1.2.3.{series}",
            PatientID=patient,
            PatientName=None,
            StudyInstanceUID=f"1.2.{len(patient)}",
            FrameOfReferenceUID=f"1.2.{len(patient)}.1",
            AcquisitionNumber=acquisition,
        )
        dataset.save_as(folder / f"{acquisition}-{index:03d}.dcm", enforce_file_format=True)


@pytest.mark.real_data
@pytest.mark.parametrize("patient", _PATIENTS)
def test_both_contrast_phases_of_one_series_are_paired_and_registered(
    real_data: Path, tmp_path: Path, patient: str
) -> None:
    """Oral contrast in the native scan, slices of 5 or 10 mm, breathing between the scans.

    Does not show that bowel, lung base or heart match: they cannot.
    """
    studies = tmp_path / "studies"
    for number, phase in enumerate(("native", "arterial", "venous"), start=1):
        image = real_data / "pairs3d" / patient / f"{phase}.nii.gz"
        _write(image, studies / "export", patient=patient, series=1 if number == 1 else 2, acquisition=number)
    result = prepare(studies, tmp_path / "store", options=PrepareOptions())
    assert result.rejections == ()
    store = PairStore(tmp_path / "store")
    assert len(store) == 1
    case = store[0]
    assert sorted(case.changes) == ["arterial", "venous"]
    native = case.native.astype(np.float32)
    for phase, change in case.changes.items():
        where = case.valid.get(phase, np.ones(native.shape, bool))
        after = edge_correlation(native, native + change, spacing_mm=case.spacing_mm, where=where)
        assert after > 0.85
        assert where.mean() > 0.9
