"""A worker process: started, asked, watched and ended; what executors with one have in common."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import connection as mp_connection
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from dicom_node.errors import TranslateError
from dicom_node.translate.messages import Disposition, Failed, Load, Loaded, Progress, Request, Translate, Translated
from s2ldm_core.problem import Problem

_POLL_SECONDS = 0.25
_STOP_SECONDS = 5.0
_LOAD_TIMEOUT_SECONDS = 600.0


class WorkerDiedError(TranslateError):
    """The worker process ended before it answered."""


class WorkerTimeoutError(TranslateError):
    """The worker took longer than a job may take."""


class WorkerTooLargeError(TranslateError):
    """The worker held more memory than it may."""


class WorkerInterruptedError(TranslateError):
    """The node wanted the worker to stop."""


class ProcessExecutor:
    """Translates by a worker process, which is started again when it died or hung.

    Parameters
    ----------
    main, arguments
        What the process runs: a function that takes its end of a connection and then ``arguments``, and answers requests
        until the other end closes (`dicom_node.translate.worker.answer_all`).
    load_seconds
        How long loading a model may take.
    """

    def __init__(
        self, main: Callable[..., None], *arguments: object, load_seconds: float = _LOAD_TIMEOUT_SECONDS
    ) -> None:
        self._worker = WorkerProcess(main, *arguments)
        self._load_seconds = load_seconds
        self._warm = False

    @property
    def ready(self) -> bool:
        """See `dicom_node.translate.executors.Executor`."""
        return self._warm and self._worker.alive

    @property
    def worker_pid(self) -> int | None:
        """The worker's process ID, while it runs."""
        return self._worker.pid if self._worker.alive else None

    def warm_up(self, models: Sequence[Load], *, should_stop: Callable[[], bool]) -> dict[str, Problem]:
        """See `dicom_node.translate.executors.Executor`."""
        self._warm = False
        problems: dict[str, Problem] = {}
        for load in models:
            try:
                answer = self._ask(load, should_stop=should_stop, timeout_seconds=self._load_seconds)
            except WorkerInterruptedError:
                return problems
            except TranslateError as error:
                problems[load.model] = error.problem
                continue
            if isinstance(answer, Failed):
                problems[load.model] = answer.problem
        self._warm = not problems
        return problems

    def translate(
        self,
        request: Translate,
        *,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        timeout_seconds: float,
    ) -> Translated | Failed | None:
        """See `dicom_node.translate.executors.Executor`."""
        try:
            answer = self._ask(
                request, on_progress=on_progress, should_stop=should_stop, timeout_seconds=timeout_seconds
            )
        except WorkerInterruptedError:
            return None
        except TranslateError as error:
            # A fresh process holds less: what the one that was ended held need not all have been this series'.
            passes = isinstance(error, WorkerDiedError | WorkerTooLargeError)
            return Failed(problem=error.problem, disposition=Disposition.RETRY if passes else Disposition.FAIL)
        return None if isinstance(answer, Loaded) else answer

    def stop(self) -> None:
        """See `dicom_node.translate.executors.Executor`."""
        self._warm = False
        self._worker.stop()

    def _ask(
        self,
        request: Request,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        should_stop: Callable[[], bool],
        timeout_seconds: float,
    ) -> Loaded | Translated | Failed:
        self._warm = self._warm and self._worker.alive
        self._worker.start()
        return self._worker.ask(
            request, timeout_seconds=timeout_seconds, on_progress=on_progress, should_stop=should_stop
        )


class WorkerProcess:
    """One worker process; not for use from several threads at once."""

    def __init__(self, main: Callable[..., None], *arguments: object) -> None:
        self._main, self._arguments = main, arguments
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs; may be asked from any thread."""
        process = self._process
        try:
            return process is not None and process.is_alive()
        except ValueError:  # closed by the other thread just now
            return False

    @property
    def pid(self) -> int | None:
        """Process ID, while there is a process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process unless it runs."""
        if self.alive:
            return
        self.kill()
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=self._main, args=(theirs, *self._arguments), name="s2ldm-translate", daemon=True
        )
        self._process.start()
        theirs.close()
        self._connection = ours

    def ask(
        self,
        request: Request,
        *,
        timeout_seconds: float,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> Loaded | Translated | Failed:
        """Put a request to the running process and wait for its answer.

        ``on_progress`` and ``should_stop`` are called from this thread. Whenever this raises, the process has been
        ended; the next `start` begins afresh.

        Raises
        ------
        WorkerDiedError
            The process ended, for example killed for want of memory.
        WorkerTimeoutError
            No answer within ``timeout_seconds``.
        WorkerTooLargeError
            The process held more than ``request.max_bytes``.
        WorkerInterruptedError
            ``should_stop`` said so.
        """
        if self._process is None or self._connection is None:
            raise WorkerDiedError("worker_died", "The translation worker is not running.")
        deadline = time.monotonic() + timeout_seconds
        try:
            self._connection.send(request)
            while True:
                if self._connection.poll(_POLL_SECONDS):
                    answer = self._connection.recv()
                    if not isinstance(answer, Progress):
                        return answer
                    on_progress(answer)
                elif not self._process.is_alive() and not self._connection.poll():
                    raise EOFError
                held = resident_bytes(self._process.pid)
                if request.max_bytes is not None and held > request.max_bytes:
                    raise WorkerTooLargeError(
                        "worker_too_large",
                        f"The translation worker held {held / 2**30:.2f} GiB of memory and was stopped; "
                        f"{request.max_bytes / 2**30:.2f} GiB are allowed.",
                        "Raise compute.max_memory_gib if the machine has more, then retry the job.",
                    )
                if should_stop():
                    raise WorkerInterruptedError("interrupted", "Translation was interrupted.")
                if time.monotonic() > deadline:
                    raise WorkerTimeoutError(
                        "translate_timeout",
                        f"Translation took longer than {timeout_seconds:.0f} seconds and was stopped.",
                        "Raise compute.job_timeout_seconds, or use a faster device, then retry the job.",
                    )
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise WorkerDiedError(
                "worker_died",
                f"The translation worker died ({self._ending()}).",
                "Usually the machine had too little memory: see the system's log, then retry the job.",
            ) from error
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the process in order, or by force if it does not go."""
        if self._connection is not None and self.alive:
            with suppress(OSError):  # it may have gone already
                self._connection.send(None)
            mp_connection.wait([self._process.sentinel] if self._process else [], timeout=_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process now."""
        if self._process is not None:
            if self._process.is_alive():
                self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ending(self) -> str:
        if self._process is None:
            return "unknown"
        self._process.join(_STOP_SECONDS)
        code = self._process.exitcode
        ending = "still running" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        self.kill()
        return ending


def resident_bytes(pid: int | None) -> int:
    """Bytes of memory that a process holds; 0 where the system does not say, or the process is gone."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
