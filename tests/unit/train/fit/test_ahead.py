"""Crops drawn by other processes: what goes wrong there is told here."""

import os
import signal
import time
from typing import Any

import pytest

from train.errors import TrainError
from train.fit.ahead import drawn_ahead


def test_what_drawing_raises_in_another_process_keeps_its_code() -> None:
    def draw(step: int, number: int) -> int:
        if step:
            raise TrainError("phase_missing", "There is none.", "Look for one.")
        return number

    with drawn_ahead(draw, first_step=0, rounds=2, workers=2) as take:
        assert [take(0, 0), take(0, 1)] == [0, 1]
        with pytest.raises(TrainError) as caught:
            take(1, 0)
    assert (caught.value.code, caught.value.remedy) == ("phase_missing", "Look for one.")


def _killed_while_it_draws() -> None:
    def draw(step: int, number: int) -> int:
        if step:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with drawn_ahead(draw, first_step=0, rounds=1, workers=1) as take:
        for step in range(2):
            take(step, 0)


def _killed_while_the_device_computes() -> None:
    """The news comes as a signal, into whatever runs then."""
    with drawn_ahead(lambda step, number: os.getpid(), first_step=0, rounds=1, workers=1) as take:
        os.kill(take(0, 0), signal.SIGKILL)
        time.sleep(30)


@pytest.mark.parametrize("killed", [_killed_while_it_draws, _killed_while_the_device_computes])
def test_a_drawing_process_that_is_killed_is_told_as_such(killed: Any) -> None:
    with pytest.raises(TrainError) as caught:
        killed()
    assert caught.value.code == "worker_died"
    assert "data.workers" in caught.value.remedy
