"""A small torso of ellipses as a label map and a native CT: enough anatomy for the tests, made in milliseconds."""

import json
from pathlib import Path

import numpy as np

SPACING_MM = (4.0, 4.0, 4.0)
NAMES = {
    1: "subcutaneous_fat",
    2: "skeletal_muscle",
    3: "visceral_fat",
    4: "liver",
    5: "aorta",
    6: "inferior_vena_cava",
    7: "vertebrae_L1",
    8: "kidney_left",
    9: "kidney_right",
    10: "iliopsoas_left",
    11: "colon",
    12: "portal_vein_and_splenic_vein",
}
NATIVE_HU = {0: -1000, 1: -100, 2: 50, 3: -100, 4: 58, 5: 42, 6: 42, 7: 300, 8: 32, 9: 32, 10: 52, 11: 25, 12: 42}
VENOUS_GAIN_HU = {2: 9, 4: 52, 5: 105, 6: 70, 8: 120, 9: 120, 10: 9, 11: 12, 12: 115}


def label_map(slices: int = 24) -> np.ndarray:
    """(slices, 56, 80) uint8 of `NAMES`; axes run with patient +z, +y, +x, the centre in the middle."""
    y, x = np.meshgrid((np.arange(56) - 27.5) * 4.0, (np.arange(80) - 39.5) * 4.0, indexing="ij")

    def ellipse(cy: float, cx: float, ry: float, rx: float) -> np.ndarray:
        return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1

    plane = np.zeros(y.shape, np.uint8)
    for label, cy, cx, ry, rx in (
        (1, 0, 0, 100, 140),
        (2, 0, 0, 84, 122),
        (3, 0, 0, 72, 108),
        (4, -18, -52, 42, 46),
        (12, -6, -26, 9, 9),
        (7, 50, 0, 18, 20),
        (5, 18, 12, 11, 11),
        (6, 18, -16, 11, 11),
        (8, 30, 62, 26, 26),
        (9, 34, -60, 20, 24),
        (10, 52, 34, 14, 12),
        (11, -38, 44, 18, 40),
    ):
        plane[ellipse(cy, cx, ry, rx)] = label
    return np.repeat(plane[None], slices, axis=0)


def native_ct(labels: np.ndarray, *, noise_hu: float = 6.0) -> np.ndarray:
    table = np.array([NATIVE_HU[label] for label in range(13)], np.float32)
    noise = np.random.default_rng(5).normal(0, noise_hu, labels.shape).astype(np.float32)
    return table[labels] + noise


def contrast_ct(labels: np.ndarray, *, noise_hu: float = 6.0) -> np.ndarray:
    """The same torso in the portal venous phase."""
    table = np.array([VENOUS_GAIN_HU.get(label, 0) for label in range(13)], np.float32)
    return native_ct(labels, noise_hu=noise_hu) + table[labels]


def write_image(array: np.ndarray, path: Path) -> None:
    """NIfTI whose axes run with LPS."""
    import SimpleITK as sitk

    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM[::-1])
    image.SetOrigin((-158.0, -110.0, 0.0))
    sitk.WriteImage(image, str(path))


def write_subject(folder: Path, *, with_ct: bool = True) -> None:
    """One map with labels.json, and its CT on the same grid."""
    labels = label_map()
    write_image(labels, folder / "seg.nii.gz")
    (folder / "labels.json").write_text(json.dumps({str(k): v for k, v in NAMES.items()}), encoding="utf-8")
    (folder / "licence.txt").write_text("CC BY 4.0, made up\n", encoding="utf-8")
    if with_ct:
        write_image(native_ct(labels).astype(np.int16), folder / "ct.nii.gz")


def write_masks(folder: Path) -> None:
    """One mask for each class beside ct.nii.gz, as TotalSegmentator's public data set is laid out."""
    labels = label_map()
    for label, name in NAMES.items():
        write_image((labels == label).astype(np.uint8), folder / "segmentations" / f"{name}.nii.gz")
    write_image(native_ct(labels).astype(np.int16), folder / "ct.nii.gz")
