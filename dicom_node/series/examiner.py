"""Looking at a series in a process of its own, whose memory and time are limited.

What a series holds comes from outside: decoding it may take more than there is, or end the process that does it. The
node goes on then, and says so with the series.
"""

import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection as mp_connection
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from dicom_node.config import Route
from dicom_node.privacy import place_of, silence_attribute_values
from dicom_node.private import keep_private
from dicom_node.series.decision import Decision
from dicom_node.series.selection import examine_series
from s2ldm_core.problem import Problem, ProblemError

#: What one process may take for itself; 2,000 slices of 512 x 512 take less than a quarter of it.
MEMORY_BYTES = 4 * 2**30
#: A long series takes seconds.
SECONDS = 540.0
_START_SECONDS = 120.0
_POLL_SECONDS = 0.2
#: So many series a process looks at; then a fresh one takes its place, whatever its libraries have kept.
_SERIES_EACH = 200

_Request = tuple[Sequence[Path], Route, int, int]
_READY = "ready"


class ExaminerError(ProblemError):
    """The process that looks at series could not do it."""


class ExaminerDiedError(ExaminerError):
    """It ended in the middle, by the series or by the system: another try tells which."""


class Examiner:
    """Asks `dicom_node.series.examine_series` in another process, which is started when the first series comes.

    Parameters
    ----------
    memory_bytes, seconds
        What one series may take.
    main
        What the process runs.
    """

    def __init__(
        self,
        *,
        memory_bytes: int = MEMORY_BYTES,
        seconds: float = SECONDS,
        main: Callable[[Connection, int], None] | None = None,
    ) -> None:
        self._memory_bytes, self._seconds = memory_bytes, seconds
        self._main = main or serve
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._done = 0

    def start(self) -> None:
        """Start the process, so that the first series need not wait for it."""
        with self._lock:
            self._spawn()

    def examine(self, paths: Sequence[Path], *, route: Route, min_slices: int, conflicts: int = 0) -> Decision | None:
        """What selection says of a series; see `dicom_node.series.examine_series`. None: `stop` was called.

        Raises
        ------
        ExaminerError
            ``examination_timeout``, ``examination_memory`` or ``examiner_died``; or ``examination_fault``, with the place.
        """
        with self._lock:
            try:
                answer = self._ask((paths, route, min_slices, conflicts))
            except BaseException:
                self._end()
                if self._stopping.is_set():
                    return None
                raise
            self._done += 1
            if self._done >= _SERIES_EACH or isinstance(answer, Problem):
                self._end()
        if isinstance(answer, Problem):
            raise ExaminerError(answer.code, answer.sentence, answer.remedy)
        return answer

    def stop(self) -> None:
        """End the process, and whatever it is looking at."""
        self._stopping.set()
        with self._lock:
            self._end()

    def _ask(self, request: _Request) -> Decision | Problem:
        connection = self._connection
        if connection is None or self._process is None or not self._process.is_alive():
            connection = self._spawn()
        try:
            if self._done == 0 and not (self._answers(_START_SECONDS) and connection.recv() == _READY):
                raise EOFError
            connection.send(request)
            if not self._answers(self._seconds):
                raise ExaminerError(
                    "examination_timeout",
                    f"Looking at the series took longer than {self._seconds:.0f} seconds and was stopped.",
                    "Look at the series' files; retry the job when the machine is less busy.",
                )
            answer: Decision | Problem = connection.recv()
        except (EOFError, OSError) as error:
            raise ExaminerDiedError(
                "examiner_died",
                "The process that looked at the series ended before it answered.",
                "An image may be damaged in a way that its decoder does not survive, or memory is short: see the log.",
            ) from error
        return answer

    def _answers(self, seconds: float) -> bool:
        """Whether the process has something to say within ``seconds``; raises EOFError if the node stops before."""
        deadline = time.monotonic() + seconds
        while self._connection is not None and not self._connection.poll(_POLL_SECONDS):
            if self._stopping.is_set():
                raise EOFError
            if time.monotonic() > deadline:
                return False
        return True

    def _spawn(self) -> Connection:
        self._end()
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=self._main, args=(theirs, self._memory_bytes), name="s2ldm-examine", daemon=True
        )
        self._process.start()
        theirs.close()
        self._connection, self._done = ours, 0
        return ours

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def serve(connection: Connection, memory_bytes: int) -> None:
    """Answer until the other end closes; the process' main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    keep_private()
    silence_attribute_values()
    # Of what the process takes for itself, not of what its libraries map: that is much more, and costs nothing.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    connection.send(_READY)
    while True:
        try:
            request: _Request = connection.recv()
        except EOFError:
            return
        connection.send(_answer(request))


def _answer(request: _Request) -> Decision | Problem:
    paths, route, min_slices, conflicts = request
    try:
        return examine_series(paths, route=route, min_slices=min_slices, conflicts=conflicts)
    except ProblemError as error:
        return error.problem
    except MemoryError:
        return Problem(
            "examination_memory",
            "Looking at the series takes more memory than a series may.",
            "Its images are larger than any CT slice, or too many: send the original slices.",
        )
    except Exception as error:  # noqa: BLE001 (one series' fault; the node records it without the message, which may quote values)
        return Problem(
            "select_fault",
            f"The series could not be examined ({type(error).__name__} at {place_of(error)}).",
            "Report this with the log, then retry the job.",
        )


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        mp_connection.wait([parent.sentinel])
        signal.raise_signal(signal.SIGKILL)
