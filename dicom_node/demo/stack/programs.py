"""Programs of the stack as processes that end with it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from dicom_node.errors import NodeError

_STOP_SECONDS = 30.0
_LOG_TAIL = 1500


class StackError(NodeError):
    """The stack cannot be started, or one of its programs has ended."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One running program."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def check(self) -> None:
        """Raise `StackError` (``stack_program_ended``) if it runs no more."""
        if self.process.poll() is not None:
            end = self.log.read_text(errors="replace")[-_LOG_TAIL:]
            raise StackError("stack_program_ended", f"{self.name} has ended:\n{end}", f"See {self.log}.")

    def await_answer(self, url: str, *, seconds: float) -> None:
        """Wait until ``url`` is answered well; raises `StackError` (``stack_not_ready``) after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not _answers(url):
            self.check()
            if time.monotonic() > deadline:
                raise StackError(
                    "stack_not_ready", f"{self.name} does not answer after {seconds:.0f} s.", f"See {self.log}."
                )
            time.sleep(0.1)


@contextmanager
def running(name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> Iterator[Program]:
    """``command`` in ``folder``, with its output in ``NAME.log`` there, stopped at the end with whatever it has started."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        # A process group of its own: Ctrl-C reaches it through us alone, in order, and whatever it starts ends with it.
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Program(name=name, log=log, process=process)
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 (http to 127.0.0.1)
            return bool(answer.status == 200)
    except (HTTPError, OSError):
        return False
