"""An answer unlike all that training had is refused, by region and tissue."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2ldm_core import Translator, answers
from s2ldm_core.answers import judge_answer, limits_of, measured
from s2ldm_core.errors import TranslationError
from s2ldm_core.volume import Volume
from tests.tiny_model import limit_answers, write_tiny_package

SHAPE = (10, 40, 40)
LIMITS = {"upper_abdomen": {"fat": (-10.0, 10.0), "soft": (-5.0, 60.0), "most": (0.0, 200.0), "least": (-40.0, 50.0)}}


@pytest.fixture
def scan(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fat in the left half, soft tissue in the right, all of it upper abdomen."""
    monkeypatch.setattr(answers, "regions_of", lambda hu, spacing_mm: ("upper_abdomen",) * len(hu))
    native = np.full(SHAPE, -100.0, np.float32)
    native[:, :, 20:] = 40.0
    return native, np.ones(SHAPE, bool)


def _judged(scan: Any, change: np.ndarray, limits: Any = LIMITS) -> Any:
    native, body = scan
    return judge_answer(native, change, body=body, spacing_mm=(3.0, 1.5, 1.5), limits=limits)


def test_measures_are_those_of_each_tissue_in_each_slice(scan: Any) -> None:
    native, body = scan
    change = np.where(native > 0, 30.0, 2.0).astype(np.float32)
    found = measured(native, change, body)
    # The edge is smoothed: what lies between fat and soft tissue is neither.
    np.testing.assert_allclose(found["soft"], 30.0, atol=1.0)
    np.testing.assert_allclose(found["fat"], 2.0, atol=1.0)
    assert np.isnan(found["bone"]).all()


def test_an_answer_within_the_limits_passes(scan: Any) -> None:
    assert _judged(scan, np.where(scan[0] > 0, 30.0, 2.0).astype(np.float32)) is None


@pytest.mark.parametrize(
    ("fat", "soft", "spot", "said"),
    [
        (40.0, 30.0, 0.0, "mean change of fat"),
        (0.0, 90.0, 0.0, "mean change of soft tissue"),
        (0.0, 20.0, 400.0, "most enhancing hundredth"),
        (0.0, 20.0, -200.0, "least enhancing hundredth"),
    ],
)
def test_what_training_never_had_is_refused_with_the_slices_and_the_numbers(
    scan: Any, fat: float, soft: float, spot: float, said: str
) -> None:
    change = np.where(scan[0] > 0, soft, fat).astype(np.float32)
    change[2:6, 15:22, 28:35] += spot
    problem = _judged(scan, change)
    assert problem is not None
    assert problem.code == "answer_out_of_distribution"
    assert said in problem.sentence
    assert "of 10 slices" in problem.sentence
    assert "upper abdomen" in problem.sentence


def test_an_answer_without_the_losses_of_pairs_that_lie_unlike_passes(scan: Any) -> None:
    """In training some soft tissue of every slice lost at least 30 HU: a pair that had moved. No answer has to."""
    moved = {"upper_abdomen": LIMITS["upper_abdomen"] | {"least": (-184.0, -30.0)}}
    assert _judged(scan, np.where(scan[0] > 0, 30.0, 2.0).astype(np.float32), moved) is None
    lost = np.where(scan[0] > 0, 30.0, 2.0).astype(np.float32)
    lost[2:6, 15:22, 28:35] -= 400.0
    assert "-184 or more was seen" in _judged(scan, lost, moved).sentence


def test_two_odd_slices_are_no_reason_and_a_region_without_limits_is_not_judged(scan: Any) -> None:
    change = np.where(scan[0] > 0, 30.0, 2.0).astype(np.float32)
    change[4:6] += 300.0
    assert _judged(scan, change) is None
    assert _judged(scan, change + 300.0, {"head": LIMITS["upper_abdomen"]}) is None


def test_limits_hold_all_that_was_seen_with_room_and_need_enough_slices() -> None:
    slices = [("thorax", {"soft": float(n), "fat": np.nan}) for n in range(201)] + [("pelvis", {"soft": 1.0})] * 39
    slices += [("head", {"soft": 1.0})] * 90
    assert limits_of(slices) == {"thorax": {"soft": (1.0 - 39.6 - 5.0, 199.0 + 39.6 + 5.0)}}


def test_a_package_with_limits_refuses_and_one_without_does_not(tmp_path: Path, scan: Any) -> None:
    native, _ = scan
    volume = Volume(hu=native, affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    folder = write_tiny_package(tmp_path / "package")
    answer = Translator.load(folder, device="cpu").translate(volume, phase="venous").volume.hu
    soft = float((answer - native)[3, 20, 30])
    for lowest, refused in ((soft - 50.0, False), (soft + 50.0, True)):
        limit_answers(folder, {"venous": {"upper_abdomen": {"soft": (lowest, lowest + 100.0)}}})
        translator = Translator.load(folder, device="cpu")
        translator.translate(volume, phase="arterial")
        if not refused:
            translator.translate(volume, phase="venous")
            continue
        with pytest.raises(TranslationError) as refusal:
            translator.translate(volume, phase="venous")
        assert refusal.value.code == "answer_out_of_distribution"
        measured_all_the_same = Translator.load(folder, device="cpu", refuse_answers=False)
        result = measured_all_the_same.translate(volume, phase="venous")
        assert np.array_equal(result.volume.hu, answer)
        assert result.doubt == refusal.value.problem
        assert measured_all_the_same.translate(volume, phase="arterial").doubt is None
