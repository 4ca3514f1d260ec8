"""Small trees of studies for the tests of `train.prepare`, written from phantoms as DICOM."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.uid import generate_uid

from s2ldm_core.phantom import ORGANS, Phantom, Scanner
from s2ldm_core.phantom.dicom import write_series
from train.prepare import PrepareOptions
from train.prepare.pipeline import Found, find_pairs

#: The grid of `small_phantom`.
GRID = (6.0, 4.0, 4.0)


def small_phantom(
    seed: int = 5, *, slices: int = 12, spacing_mm: tuple[float, float, float] = (6.0, 4.0, 4.0)
) -> Phantom:
    """An upper abdomen of 96 x 96 pixels with little noise."""
    scanner = Scanner(psf_fwhm_mm=1.5, slice_thickness_mm=spacing_mm[0], noise_hu=8.0, streak_hu=0.0)
    return Phantom(
        seed=seed,
        matrix=(96, 96),
        slices=slices,
        spacing_mm=spacing_mm,
        region="abdomen",
        centre_mm=(0.0, 6.0, 20.0),
        scanner=scanner,
    )


def write_phase(
    phantom: Phantom, folder: Path, phase: str, *, breathing: float = 0.0, **tags: str | None
) -> list[Path]:
    """One phase as DICOM; ``tags`` are set in every file, ``None`` removes one."""
    noise = ("native", "arterial", "venous", "delayed").index(phase)
    files = write_series(phantom, folder, phase=phase, breathing=breathing, noise_seed=noise)
    for file in files if tags else ():
        dataset = dcmread(file)
        for keyword, value in tags.items():
            if value is not None:
                setattr(dataset, keyword, value)
            elif keyword in dataset:
                delattr(dataset, keyword)
        dataset.save_as(file)
    return files


def write_study(phantom: Phantom, folders: Mapping[str, Path], *, breathing: float = 0.0, **tags: str | None) -> None:
    """Several phases of one phantom: phase → folder; only contrast phases breathe."""
    for phase, folder in folders.items():
        write_phase(phantom, folder, phase, breathing=0.0 if phase == "native" else breathing, **tags)


def organ_mask(phantom: Phantom, names: tuple[str, ...], *, breathing: float = 0.0) -> np.ndarray:
    """``(D, H, W)`` bool: where organs lie after breathing."""
    return np.isin(phantom.moved_labels(breathing), [ORGANS[name] for name in names])


def copy_series(
    source: Path,
    target: Path,
    *,
    patient: str,
    study: str = "1",
    flip: bool = False,
    noise_hu: float = 0.0,
    **tags: str | list[str] | int | None,
) -> list[Path]:
    """A series as another patient's: with UIDs that follow from patient, study and place, and with other tags.

    Parameters
    ----------
    flip
        Mirror every slice left to right while the header says nothing of it.
    noise_hu
        Standard deviation of the noise that is added, as of a sharp kernel.
    tags
        Set in every file, ``None`` removes one.
    """
    target.mkdir(parents=True, exist_ok=True)
    taken = sum(1 for _ in target.iterdir())
    written: list[Path] = []
    rng = np.random.default_rng(len(str(target)))
    whose = {
        "PatientID": patient,
        "PatientName": f"Name^{patient}",
        "StudyInstanceUID": _uid_of(patient, study),
        "FrameOfReferenceUID": _uid_of(patient, study, "frame"),
        "SeriesInstanceUID": _uid_of(patient, study, target.name),
    }
    for index, file in enumerate(sorted(source.iterdir())):
        dataset = dcmread(file)
        pixels = dataset.pixel_array
        if flip:
            pixels = pixels[:, ::-1]
        if noise_hu:
            pixels = np.clip(pixels + rng.normal(0.0, noise_hu, pixels.shape), 0, 4095).astype(pixels.dtype)
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        for keyword, value in {**whose, **tags}.items():
            if value is not None:
                setattr(dataset, keyword, value)
            elif keyword in dataset:
                delattr(dataset, keyword)
        dataset.SOPInstanceUID = _uid_of(patient, study, target.name, str(taken + index))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = target / f"{taken + index + 1:04d}.dcm"
        dataset.save_as(path)
        written.append(path)
    return written


def _uid_of(*words: str) -> str:
    return generate_uid(entropy_srcs=list(words))


def pairs_in(root: Path, **options: Any) -> Found:
    """What `prepare` would pair below a folder."""
    return find_pairs(root, options=PrepareOptions(spacing_mm=GRID, **options))


def paired_places(found: Found) -> list[dict[str, str]]:
    """Phase → name of its series, a dictionary per pairing."""
    return [
        {"native": one.native.series.name} | {str(phase): it.series.name for phase, it in one.contrasts.items()}
        for one in found.pairings
    ]


def codes_of(found: Found) -> dict[str, str]:
    """Name of a series → why it is in no pair."""
    return {one.place: one.code for one in found.rejections}


def put(source: Path, target: Path) -> None:
    """Copy a file into folders that are made for it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def write_table(tmp_path: Path, rows: list[str]) -> Path:
    """A table with a column per phase."""
    table = tmp_path / "pairs.csv"
    table.write_text("patient,native,venous,split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return table
