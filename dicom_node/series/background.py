"""Questions that take too long for a sweep over all series: asked in threads beside it."""

import threading
from collections.abc import Callable, Collection, Hashable
from queue import SimpleQueue
from typing import Generic, TypeVar

import structlog

Answer = TypeVar("Answer")
_Question = tuple[int, Hashable, Callable[[], Answer]]


class Background(Generic[Answer]):
    """One answer for each key and state. The threads are started when the first question comes, and end with the process.

    Parameters
    ----------
    name
        What the log calls it.
    workers
        How many questions may be under way: one that hangs must not hold up the others.
    """

    def __init__(self, name: str, *, workers: int = 2) -> None:
        self._name, self._workers = name, workers
        self._lock = threading.Lock()
        self._questions: SimpleQueue[_Question[Answer]] = SimpleQueue()
        self._answers: dict[int, tuple[Hashable, Answer | None]] = {}
        self._threads: list[threading.Thread] = []
        self._log = structlog.get_logger(part=name)

    def ask(self, key: int, state: Hashable, question: Callable[[], Answer]) -> Answer | None:
        """The answer for ``key`` in ``state``; None while there is none, after having asked for it once."""
        with self._lock:
            known = self._answers.get(key)
            if known is not None and known[0] == state:
                return known[1]
            self._answers[key] = (state, None)
            if not self._threads:
                self._start()
        self._questions.put((key, state, question))
        return None

    def keep(self, keys: Collection[int]) -> None:
        """Forget every other key."""
        with self._lock:
            self._answers = {key: answer for key, answer in self._answers.items() if key in keys}

    def _start(self) -> None:
        for number in range(self._workers):
            thread = threading.Thread(target=self._run, name=f"{self._name}-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while True:
            key, state, question = self._questions.get()
            with self._lock:
                wanted = self._answers.get(key) == (state, None)
            if not wanted:
                continue
            try:
                answer = question()
            except Exception as error:  # noqa: BLE001 (the thread must outlive any question; logged, left unanswered)
                self._log.error("background_fault", error=type(error).__name__)
                continue
            with self._lock:
                if self._answers.get(key) == (state, None):
                    self._answers[key] = (state, answer)
