"""Signals become what the node does."""

import os
import signal
import threading

from dicom_node.service.signals import hang_ups, stop_signals, wait_for
from dicom_node.service.timers import Timers
from tests.peers import wait_until


def test_each_hang_up_reloads_until_the_process_is_asked_to_stop() -> None:
    reloads: list[int] = []
    before = signal.getsignal(signal.SIGHUP)  # ignored below nohup

    def reload() -> None:
        reloads.append(len(reloads))
        os.kill(os.getpid(), signal.SIGHUP if len(reloads) == 1 else signal.SIGTERM)

    with stop_signals() as stop, hang_ups() as hung_up:
        os.kill(os.getpid(), signal.SIGHUP)
        wait_for(stop, hung_up=hung_up, reload=reload)

    assert reloads == [0, 1]
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_timer_that_is_asked_for_does_not_wait_for_its_time() -> None:
    ran = threading.Event()

    class Step:
        def run_once(self) -> bool:
            ran.set()
            return False

    timers = Timers(on_work=lambda: None)
    timers.add("once an hour", Step(), seconds=3600)
    timers.start()
    try:
        timers.run_now("once an hour")
        wait_until(ran.is_set, seconds=10, what="the timer")
    finally:
        timers.stop()
