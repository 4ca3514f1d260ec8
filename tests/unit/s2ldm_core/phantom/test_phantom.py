"""The phantom's anatomy, geometry and image formation."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, binary_opening, label

from s2ldm_core.errors import PhantomError
from s2ldm_core.phantom import ORGANS, Phantom, Scanner


@pytest.fixture(scope="module")
def torso() -> Phantom:
    return Phantom(seed=6, matrix=(128, 128), slices=130, spacing_mm=(5.0, 3.2, 3.2), region="torso")


@pytest.fixture(scope="module")
def fine() -> Phantom:
    """An upper abdomen on a grid fine enough to erode organs."""
    return Phantom(
        seed=11,
        matrix=(192, 192),
        slices=60,
        spacing_mm=(3.0, 2.0, 2.0),
        region="abdomen",
        centre_mm=(0.0, 0.0, 0.0),
    )


def _centre_mm(phantom: Phantom, organ: str) -> np.ndarray:
    k, j, i = np.argwhere(phantom.labels == ORGANS[organ]).mean(axis=0)
    return (phantom.affine @ (i, j, k, 1.0))[:3]


def test_same_arguments_give_the_same_phantom() -> None:
    arguments = {"seed": 3, "matrix": (48, 40), "slices": 6, "spacing_mm": (6.0, 8.0, 9.0), "region": "chest"}
    first, second = Phantom(**arguments), Phantom(**arguments)
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.hu("venous", noise_seed=5), second.hu("venous", noise_seed=5))


def test_another_seed_gives_another_patient() -> None:
    a = Phantom(seed=1, matrix=(48, 48), slices=4, spacing_mm=(6.0, 8.0, 8.0), region="chest", centre_mm=(0, 0, 120))
    b = Phantom(seed=2, matrix=(48, 48), slices=4, spacing_mm=(6.0, 8.0, 8.0), region="chest", centre_mm=(0, 0, 120))
    assert a.patient != b.patient
    assert np.mean(a.labels != b.labels) > 0.05


@pytest.mark.parametrize(("matrix", "slices"), [((33, 47), 1), ((64, 32), 7), ((1, 1), 1)])
def test_any_matrix_and_slice_count(matrix: tuple[int, int], slices: int) -> None:
    phantom = Phantom(seed=4, matrix=matrix, slices=slices, spacing_mm=(5.0, 9.0, 9.0))
    hu = phantom.hu("arterial", noise_seed=1)
    assert hu.shape == phantom.labels.shape == (slices, *matrix)
    assert hu.dtype == np.float32
    assert np.isfinite(hu).all()
    assert hu.min() >= -1024.0


def test_slabs_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phantom rendered slice by slice is the phantom rendered at once."""
    arguments = {"seed": 8, "matrix": (64, 64), "slices": 6, "spacing_mm": (4.0, 6.0, 6.0), "region": "abdomen"}
    whole = Phantom(**arguments)
    monkeypatch.setattr("s2ldm_core.phantom.phantom._SLAB_VOXELS", 2 * 64 * 64)
    parts = Phantom(**arguments)
    assert np.array_equal(whole.labels, parts.labels)
    # Matrix products of other shapes round differently in the last bits of the texture.
    assert np.allclose(whole.hu("venous"), parts.hu("venous"), atol=0.01)


def test_a_finer_grid_samples_the_same_anatomy() -> None:
    coarse = Phantom(seed=5, matrix=(65, 65), slices=5, spacing_mm=(6.0, 6.0, 6.0), centre_mm=(0, 0, 0))
    fine = Phantom(seed=5, matrix=(129, 129), slices=9, spacing_mm=(3.0, 3.0, 3.0), centre_mm=(0, 0, 0))
    assert np.mean(coarse.labels == fine.labels[::2, ::2, ::2]) > 0.93


def test_affine_is_lps_with_slice_zero_at_the_feet(torso: Phantom) -> None:
    assert np.all(np.diag(torso.affine)[:3] > 0)
    assert _centre_mm(torso, "lung")[2] > _centre_mm(torso, "liver")[2] > _centre_mm(torso, "urine")[2]


def test_liver_right_spleen_left_spine_behind(torso: Phantom) -> None:
    assert _centre_mm(torso, "liver")[0] < -20
    assert _centre_mm(torso, "spleen")[0] > 40
    assert _centre_mm(torso, "vertebral_marrow")[1] > _centre_mm(torso, "liver")[1] + 20
    assert _centre_mm(torso, "rectus_abdominis")[1] < -40


@pytest.mark.parametrize(
    "organ",
    [
        "psoas",
        "iliacus",
        "paraspinal",
        "quadratus_lumborum",
        "rectus_abdominis",
        "oblique_muscles",
        "intercostal",
        "diaphragm",
        "pectoral",
        "latissimus",
        "trapezius",
        "gluteal",
        "thigh_muscle",
        "shoulder_muscle",
        "lung",
        "pulmonary_artery",
        "pulmonary_vein",
        "airway",
        "left_ventricle",
        "right_ventricle",
        "left_atrium",
        "right_atrium",
        "myocardium",
        "oesophagus",
        "aorta",
        "supra_aortic_artery",
        "visceral_artery",
        "renal_artery",
        "iliac_artery",
        "svc",
        "ivc_suprarenal",
        "ivc_infrarenal",
        "portal_vein",
        "splenic_vein",
        "hepatic_vein",
        "renal_vein",
        "iliac_vein",
        "liver",
        "spleen",
        "renal_cortex",
        "renal_medulla",
        "renal_sinus_fat",
        "pancreas",
        "stomach_wall",
        "small_bowel_wall",
        "colon_wall",
        "urine",
        "cortical_bone",
        "vertebral_marrow",
        "disc",
        "csf",
        "spinal_cord",
        "rib_marrow",
        "pelvic_marrow",
        "cartilage",
        "table_shell",
    ],
)
def test_torso_has(torso: Phantom, organ: str) -> None:
    assert np.any(torso.labels == ORGANS[organ])


def test_organ_volumes_are_adult(fine: Phantom) -> None:
    millilitres = float(np.prod(fine.spacing_mm)) / 1000.0
    kidneys = np.isin(fine.labels, [ORGANS["renal_cortex"], ORGANS["renal_medulla"]]).sum() * millilitres
    liver = (fine.labels == ORGANS["liver"]).sum() * millilitres
    assert 120 < kidneys < 600
    assert 500 < liver < 2800


@pytest.mark.parametrize("seed", [100_002])
def test_fat_surrounds_the_kidneys_towards_liver_and_spleen(seed: int) -> None:
    phantom = Phantom(seed=seed, matrix=(192, 192), slices=40, spacing_mm=(3.0, 2.2, 2.2), centre_mm=(0.0, 6.0, -20.0))
    kidneys = np.isin(phantom.labels, [ORGANS["renal_cortex"], ORGANS["renal_medulla"]])
    neighbours = binary_dilation(kidneys) & np.isin(phantom.labels, [ORGANS["liver"], ORGANS["spleen"]])
    assert kidneys.sum() > 3000
    assert neighbours.sum() < 0.002 * kidneys.sum()


@pytest.mark.parametrize("seed", [4, 100_002])
def test_fat_surrounds_the_portal_trunk_up_to_the_hilum(seed: int) -> None:
    phantom = Phantom(
        seed=seed, matrix=(160, 160), slices=20, spacing_mm=(3.0, 2.0, 2.0), centre_mm=(-20.0, -10.0, 0.0)
    )
    veins, count = label(phantom.labels == ORGANS["portal_vein"])
    sizes = np.bincount(veins.ravel())[1:]
    whole = veins == 1 + int(sizes.argmax())
    trunk = binary_opening(whole, iterations=2)  # without its branches
    around = binary_dilation(trunk, iterations=2) & ~whole
    assert count
    assert trunk.sum() > 150
    assert (around & (phantom.labels == ORGANS["liver"])).sum() < 0.15 * around.sum()


def test_phases_share_the_anatomy(fine: Phantom) -> None:
    phases = fine.phases(("native", "arterial", "venous"))
    still = np.isin(fine.labels, [ORGANS["subcutaneous_fat"], ORGANS["air"], ORGANS["bowel_gas"]])
    still = binary_erosion(still, iterations=2)
    assert np.abs(phases["arterial"] - phases["native"])[still].max() < 8.0
    assert np.abs(phases["venous"] - phases["native"])[still].max() < 8.0


@pytest.mark.parametrize(
    ("organ", "native", "arterial", "venous"),
    [
        ("aorta", (35, 52), (230, 400), (125, 200)),
        ("liver", (10, 68), (15, 95), (60, 130)),
        ("renal_cortex", (14, 46), (110, 240), (130, 240)),
        ("ivc_infrarenal", (30, 55), (38, 85), (70, 150)),
        ("psoas", (35, 62), (38, 72), (45, 80)),
        ("subcutaneous_fat", (-116, -94), (-116, -93), (-116, -92)),
    ],
)
def test_organ_hu(
    fine: Phantom, organ: str, native: tuple[int, int], arterial: tuple[int, int], venous: tuple[int, int]
) -> None:
    inside = binary_erosion(fine.labels == ORGANS[organ], iterations=1)
    assert inside.sum() > 10
    for phase, (low, high) in (("native", native), ("arterial", arterial), ("venous", venous)):
        assert low < np.median(fine.hu(phase)[inside]) < high, phase


def test_noise_has_the_scanners_deviation_on_a_fine_grid() -> None:
    scanner = Scanner(psf_fwhm_mm=1.2, slice_thickness_mm=2.0, noise_hu=12.0)
    noise = scanner.noise((16, 128, 128), spacing_mm=(1.0, 0.4, 0.4), seed=3)
    assert noise.std() == pytest.approx(12.0, rel=0.08)


def test_a_coarser_grid_has_less_noise() -> None:
    scanner = Scanner(psf_fwhm_mm=1.2, slice_thickness_mm=2.0, noise_hu=12.0)
    deviations = [scanner.noise((12, 96, 96), spacing_mm=(3.0, step, step), seed=3).std() for step in (0.75, 1.5, 3.0)]
    assert deviations[0] > 1.15 * deviations[1] > 1.3 * deviations[2]


def test_noise_is_low_in_air_and_high_in_the_body(fine: Phantom) -> None:
    noise = fine.hu("native", noise_seed=2) - fine.hu("native")
    assert noise[fine.labels == 0].std() < 0.9 * noise[fine.labels == ORGANS["liver"]].std()


def test_noise_differs_between_seeds(fine: Phantom) -> None:
    liver = fine.labels == ORGANS["liver"]
    first, second = fine.hu("native", noise_seed=1)[liver], fine.hu("native", noise_seed=2)[liver]
    clean = fine.hu("native")[liver]
    assert abs(np.corrcoef(first - clean, second - clean)[0, 1]) < 0.05


def test_breathing_moves_the_liver_and_not_the_spine(torso: Phantom) -> None:
    still, moved = torso.hu("native"), torso.hu("native", breathing=12.0)
    difference = np.abs(moved - still)
    dome = np.argwhere(torso.labels == ORGANS["liver"]).max(axis=0)[0]
    liver_edge = (torso.labels[dome] == ORGANS["liver"]) | (torso.labels[dome - 1] == ORGANS["liver"])
    assert difference[dome - 1 : dome + 1, liver_edge].max() > 200
    assert difference[torso.labels == ORGANS["spinal_cord"]].max() < 1.0


def test_volume_carries_the_affine(fine: Phantom) -> None:
    volume = fine.volume("arterial")
    assert np.array_equal(volume.affine, fine.affine)
    assert np.array_equal(volume.hu, fine.hu("arterial"))


def test_label_ids_are_stable() -> None:
    expected = {
        "air": 0,
        "psoas": 10,
        "cortical_bone": 30,
        "lung": 40,
        "aorta": 65,
        "portal_vein": 80,
        "liver": 95,
        "spleen": 98,
        "renal_cortex": 99,
        "renal_medulla": 100,
        "pancreas": 104,
        "metal": 135,
    }
    assert {name: ORGANS[name] for name in expected} == expected
    assert len(set(ORGANS.values())) == len(ORGANS)


@pytest.mark.parametrize(
    "arguments", [{"matrix": (0, 4)}, {"slices": 0}, {"region": "knee"}, {"spacing_mm": (1.0, -1.0, 1.0)}]
)
def test_impossible_phantom_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(PhantomError):
        Phantom(seed=1, **{"matrix": (8, 8), "slices": 1, **arguments})


def test_unknown_phase_is_refused(fine: Phantom) -> None:
    with pytest.raises(PhantomError, match="phantom_phase"):
        fine.hu("portal-ish")
