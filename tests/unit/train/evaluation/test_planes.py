"""The picture in three planes: everything the right way round, to scale, and every answer that was asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from s2ldm_core import Volume
from s2ldm_core.problem import ProblemError
from tests.tiny_model import with_spread, write_tiny_package
from train.cli import app
from train.evaluation.planes import draw_planes
from train.store import write_case

SPACING = (2.8, 1.4, 1.4)


def body(*, flipped: bool = False) -> Volume:
    """A body of 50 HU in air, 40 × 60 × 80 voxels, with a bright corner at the feet, in front and on the patient's right."""
    hu = np.full((40, 60, 80), -1000.0, np.float32)
    hu[:, 5:55, 5:75] = 50.0
    hu[:20, 5:25, 5:30] = 300.0
    dz, dy, dx = SPACING
    affine = np.diag([dx, dy, dz, 1.0])
    if flipped:  # stored from the left, from behind and from the head
        hu = hu[::-1, ::-1, ::-1].copy()
        affine = np.array([[-dx, 0, 0, 79 * dx], [0, -dy, 0, 59 * dy], [0, 0, -dz, 39 * dz], [0, 0, 0, 1.0]])
    return Volume(hu=hu, affine=affine)


def pixels(volume: Volume) -> np.ndarray:
    return np.asarray(draw_planes({"": volume}))


def test_slices_lie_as_a_viewer_shows_them_and_to_scale() -> None:
    """Axial: front above, the patient's right on the left. The others: head above; sagittal: front on the left."""
    bright = pixels(body()) > 200
    rows, columns = np.nonzero(bright[:, :80])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 24, 5, 29)
    assert not bright[:, 86:252].any(), "nothing is bright in the middle and near the head"
    for start, width, depth in ((258, 80, 30), (430, 60, 25)):  # the first coronal and the first sagittal slice
        rows, columns = np.nonzero(bright[:, start : start + width])
        found = (rows.min(), rows.max(), columns.min(), columns.max())
        assert found == pytest.approx((40, 79, 5, depth - 1), abs=1)


def test_a_scan_that_is_stored_another_way_round_is_drawn_alike() -> None:
    assert np.array_equal(pixels(body()), pixels(body(flipped=True)))


def test_the_window_is_the_same_in_every_row() -> None:
    one = body()
    rows = np.asarray(draw_planes({"a": one, "b": one.with_hu(one.hu + 20.0)}, window_hu=(0.0, 255.0)))
    assert rows.shape[0] == 2 * 80 + 6
    assert (rows[30, 40], rows[86 + 30, 40]) == (50, 70)


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["planes", *(str(one) for one in arguments)])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    native = body().hu
    write_case(
        tmp_path / "pairs",
        "p0001-1",
        patient="p0001",
        split="train",
        spacing_mm=(3.0, 1.5, 1.5),
        native=native,
        changes={"venous": np.where(native > 0, 80.0, 0.0).astype(np.float32)},
        about={},
    )
    return tmp_path / "pairs"


def test_the_command_draws_the_native_scan_the_real_phases_and_every_answer(store: Path, tmp_path: Path) -> None:
    tiny = write_tiny_package(tmp_path / "tiny")
    source = ("--store", store, "--case", "p0001-1")
    few, more = tmp_path / "few.png", tmp_path / "pictures" / "more.png"
    done = run(f"a={tiny}", *source, "--phase", "arterial", "--output", few)
    assert done.exit_code == 0, done.output
    done = run(f"a={tiny}", f"b={tiny}", *source, "--output", more)
    assert done.exit_code == 0, done.output
    with Image.open(few) as first, Image.open(more) as second:
        height = (first.height - 6) // 2  # native, arterial of a
        assert second.height == 6 * (height + 6) - 6  # native, arterial of both, venous real and of both


def test_another_contrast_dose_is_drawn_beside_the_usual(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Volume] = {}

    def keep(rows: dict[str, Volume], **options: Any) -> Any:
        drawn.update(rows)
        return draw_planes(rows, **options)

    monkeypatch.setattr("train.evaluation.planes.draw_planes", keep)
    done = run(
        f"a={write_tiny_package(tmp_path / 'tiny')}",
        *("--store", store, "--case", "p0001-1", "--phase", "venous"),
        *("--contrast-dose", 0.5, "--output", tmp_path / "dose.png"),
    )
    assert done.exit_code == 0, done.output
    assert list(drawn) == ["native", "venous, real", "venous, a", "venous, a, contrast dose 0.5"]
    native, _, usual, half = (one.hu for one in drawn.values())
    assert np.abs(usual - native).max() > 1.0
    assert np.abs(half - native - 0.5 * (usual - native)).max() < 0.01


def test_below_an_answer_stands_how_wrong_it_may_be_and_how_wrong_it_is_where_that_was_measured(tmp_path: Path) -> None:
    native = body().hu
    measured = np.ones(native.shape, bool)
    measured[:, :, 40:] = False
    write_case(
        tmp_path / "pairs",
        "p0001-1",
        patient="p0001",
        split="train",
        spacing_mm=SPACING,
        native=native,
        changes={"venous": np.where(native > 0, 80.0, 0.0).astype(np.float32)},
        valid={"venous": measured},
        about={},
    )
    told = with_spread(write_tiny_package(tmp_path / "tiny"), tmp_path / "told")
    picture = tmp_path / "planes.png"
    done = run(f"a={told}", "--store", tmp_path / "pairs", "--case", "p0001-1", "--uncertainty", "--output", picture)
    assert done.exit_code == 0, done.output
    with Image.open(picture) as drawn:
        grey = np.asarray(drawn)
    # Rows: native; arterial and what it may be; venous real, answered, what it may be, what it is.
    height = (grey.shape[0] - 6 * 6) // 7
    rows = [grey[k * (height + 6) : k * (height + 6) + height].astype(int) for k in range(7)]
    _, _, _, real, answer, may_be, is_off = (
        row[40, :80] for row in rows
    )  # of the first axial slice, across the body of 50 HU
    hu = (real[20] - answer[20]) / 255 * 480  # the usual window
    assert hu > 40
    assert is_off[20] == pytest.approx(hu / 100 * 255, abs=6), "white is 100 HU"
    assert is_off[60] == 0, "not measured there"
    assert 0 < may_be[20] < 255


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), "planes_of_what"),
        (("--store", "STORE", "--case", "p0001-1", "--uncertainty"), "uncertainty_unknown"),
        (("--scan", "a", "--store", "b"), "planes_of_what"),
        (("--store", "STORE"), "planes_case"),
        (("--store", "STORE", "--case", "p9"), "planes_case"),
        (("--store", "STORE", "--case", "p0001-1", "--phase", "50s"), "planes_phase"),
        (("--store", "STORE", "--case", "p0001-1", "--window", "50", "50"), "window_empty"),
        (("--store", "STORE", "--case", "p0001-1", "--output", "planes.svg"), "planes_output"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: tuple[str, ...], code: str, store: Path, tmp_path: Path) -> None:
    tiny = write_tiny_package(tmp_path / "tiny")
    given = [str(store) if one == "STORE" else one for one in options]
    result = run(tiny, "--output", tmp_path / "a.png", *given)
    assert isinstance(result.exception, ProblemError)
    assert result.exception.code == code
    assert not list(tmp_path.glob("*.png"))
