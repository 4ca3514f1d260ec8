"""How the phases are shown and numbered."""

import pytest

from dicom_node.phases import OTHER_PHASE, PHASES, called, depicted, presented


@pytest.mark.parametrize(
    ("phase", "source", "expected"),
    [
        ("arterial", (40.0, 400.0), (105.0, 530.0)),  # -160 to 240 becomes -160 to 370
        ("venous", (40.0, 400.0), (50.0, 420.0)),
        ("delayed", (40.0, 400.0), (40.0, 400.0)),
        ("arterial", (-600.0, 1500.0), (-490.0, 1720.0)),
        ("arterial", (500.0, 2000.0), (500.0, 2000.0)),
    ],
)
def test_window_starts_from_the_source_s_and_makes_room_for_vessels(
    phase: str, source: tuple[float, float], expected: tuple[float, float]
) -> None:
    assert PHASES[phase].window_from(source) == expected


@pytest.mark.parametrize("source", [None, (0.0, 0.0), (40.0, 1.0), (20000.0, 400.0), (0.0, 65535.0)])
def test_without_a_sensible_window_of_the_source_the_phase_s_own_is_taken(source: tuple[float, float] | None) -> None:
    for phase in (*PHASES.values(), OTHER_PHASE):
        assert phase.window_from(source) == phase.window_hu


def test_phases_number_their_series_apart() -> None:
    assert len({phase.series_number_offset for phase in PHASES.values()}) == len(PHASES)


def test_times_number_their_series_apart_and_are_told_in_words() -> None:
    offsets = {
        presented(phase).series_number_offset for phase in ("arterial", "venous", "delayed", "35s", "72s", "late")
    }
    assert len(offsets) == 5  # arterial's is also that of a phase that only a model knows
    assert presented("35s").brightest_hu == PHASES["arterial"].brightest_hu
    assert presented("venous") is PHASES["venous"]
    assert (called("7.5s"), called("venous")) == ("7.5 s after injection", "venous")
    assert (depicted("35s"), depicted("venous")) == ("image 35 s after injection", "venous contrast phase")
