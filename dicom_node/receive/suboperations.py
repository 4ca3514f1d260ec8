"""The sub-operations of C-GET and C-MOVE (`dicom_node.streaming.Retrieval`): one object after the other, and all of it counted."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from dicom_node.catalog import DerivedInstance
from dicom_node.receive.outgoing import open_data_set
from dicom_node.receive.tally import Tally
from dicom_node.streaming import Parcel, Progress
from s2ldm_core.problem import ProblemError

_log = structlog.get_logger(__name__)

#: Told once, when no more will be sent: what the receiver has, and the last response (None: nobody is left to get it).
Ended = Callable[[frozenset[str], Progress | None], None]


class Send(Protocol):
    """Sends files to the destination of a C-MOVE over one association."""

    def __call__(
        self,
        files: Sequence[Path],
        *,
        on_answer: Callable[[str, int | None], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """SOP Instance UID and status of each answer are told; raises `s2ldm_core.problem.ProblemError` where none can be sent."""


class Get:
    """C-GET: the images go to the peer, on its own association."""

    def __init__(self, images: Sequence[DerivedInstance], tally: Tally, *, on_end: Ended) -> None:
        self._images = deque(images)
        self._tally = tally
        self._on_end = on_end
        self._told = 0
        self._on_its_way: str | None = None

    def start(self, wake: Callable[[], None]) -> None:
        """Nothing to do: whoever asks for the next image is the one who sends it."""

    def report(self) -> Progress | None:
        """See `dicom_node.streaming.Retrieval`."""
        if not self._images and self._on_its_way is None:
            last = self._tally.final()
            self._on_end(self._tally.stored, last)
            return last
        if self._tally.noted == self._told:
            return None
        self._told = self._tally.noted
        return self._tally.pending()

    def next_parcel(self) -> Parcel | None:
        """See `dicom_node.streaming.Retrieval`."""
        if not self._images:
            return None
        image = self._images.popleft()
        self._on_its_way = image.sop_instance_uid
        return Parcel(
            sop_class_uid=image.sop_class_uid,
            sop_instance_uid=image.sop_instance_uid,
            open=partial(open_data_set, image.path),
        )

    def stored(self, status: int | None) -> None:
        """See `dicom_node.streaming.Retrieval`."""
        if self._on_its_way is not None:
            self._tally.note(self._on_its_way, status)
            self._on_its_way = None

    def cancel(self) -> None:
        """Send no more than what is on its way."""
        self._images.clear()

    def end(self) -> None:
        """See `dicom_node.streaming.Retrieval`."""
        self._on_end(self._tally.stored, None)


class Move:
    """C-MOVE: the images go to another application entity, series by series, from a thread of their own.

    A destination that cannot be reached, or stops answering, gets no more; what it has not got has failed.
    """

    def __init__(self, series: Sequence[Sequence[DerivedInstance]], tally: Tally, send: Send, *, on_end: Ended) -> None:
        self._series = series
        self._tally = tally
        self._send = send
        self._on_end = on_end
        self._lock = threading.Lock()
        self._told = 0
        self._is_over = False
        self._stopped = threading.Event()
        self._wake: Callable[[], None] = lambda: None

    def start(self, wake: Callable[[], None]) -> None:
        """See `dicom_node.streaming.Retrieval`."""
        self._wake = wake
        threading.Thread(target=self._run, name="move", daemon=True).start()

    def report(self) -> Progress | None:
        """See `dicom_node.streaming.Retrieval`."""
        with self._lock:
            if self._is_over:
                return self._tally.final()
            if self._tally.noted == self._told:
                return None
            self._told = self._tally.noted
            return self._tally.pending()

    def next_parcel(self) -> None:
        """None: nothing goes to the peer itself."""

    def stored(self, status: int | None) -> None:
        """Nothing went."""

    def cancel(self) -> None:
        """Send no more than what is on its way."""
        self._stopped.set()

    def end(self) -> None:
        """See `dicom_node.streaming.Retrieval`; what was on its way still arrives."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            for images in self._series:
                if self._stopped.is_set() or not self._sent(images):
                    break
        except Exception as error:  # noqa: BLE001 - a fault of ours: the peer must learn of it, and not wait for ever
            _log.exception("move_failed", error=type(error).__name__)
        with self._lock:
            if not self._stopped.is_set():
                self._tally.fail_rest()
            self._is_over = True
            stored, last = self._tally.stored, self._tally.final()
        self._on_end(stored, last)
        self._wake()

    def _sent(self, images: Sequence[DerivedInstance]) -> bool:
        """Send one series; whether to go on with the next."""
        there = []
        for one in images:
            if one.path.is_file():
                there.append(one.path)
            else:
                self._note(one.sop_instance_uid, None)
        answers: list[int | None] = []

        def answered(sop_instance_uid: str, code: int | None) -> None:
            answers.append(code)
            self._note(sop_instance_uid, code)

        try:
            self._send(there, on_answer=answered, should_stop=self._stopped.is_set)
        except ProblemError as error:
            _log.warning("move_destination_unusable", code=error.problem.code)
            return False
        return len(answers) == len(there)

    def _note(self, sop_instance_uid: str, code: int | None) -> None:
        with self._lock:
            self._tally.note(sop_instance_uid, code)
        self._wake()
