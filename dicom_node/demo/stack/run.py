"""Starting the stack: Orthanc with its routing script, the node, nginx with OHIF."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.deliver.destinations.dicom.scu import send_files
from dicom_node.demo.stack.places import CONFIG
from dicom_node.demo.stack.programs import Program, StackError, running
from dicom_node.demo.stack.settings import HOST, Ports, environment, fill_in

#: What each program is in Debian, and its package.
_PROGRAMS = {
    "Orthanc": "orthanc",
    "nginx": "nginx-light",
}
_PLUGINS = Path("/usr/share/orthanc/plugins")
_PLUGIN_PACKAGES = {"libOrthancDicomWeb.so": "orthanc-dicomweb", "libOrthancPython.so": "orthanc-python"}
_SBIN = "/usr/sbin:/usr/local/sbin"
_START_SECONDS = 60.0
_MODEL_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running stack: its addresses and its programs."""

    ports: Ports
    state: Path
    programs: tuple[Program, ...]

    @property
    def viewer(self) -> str:
        """Where OHIF is."""
        return f"http://{HOST}:{self.ports.viewer}"

    @property
    def archive(self) -> str:
        """Orthanc's own HTTP interface."""
        return f"http://{HOST}:{self.ports.archive_http}"

    @property
    def node(self) -> str:
        """The node's console and HTTP interface."""
        return f"http://{HOST}:{self.ports.node_http}"

    def study(self, study_uid: str) -> str:
        """Where OHIF shows a study."""
        return f"{self.viewer}/viewer?StudyInstanceUIDs={study_uid}"

    def check(self) -> None:
        """Raise `StackError` if a program has ended."""
        for program in self.programs:
            program.check()

    def store(self, paths: Sequence[Path]) -> int:
        """C-STORE files to Orthanc, as a scanner does; returns how many it accepted."""
        archive = DicomSettings(ae_title="ORTHANC", host=HOST, port=self.ports.archive_dicom)
        return sum(answer.verdict == "accepted" for answer in send_files(paths, archive, calling_ae="SCANNER"))

    def jobs(self) -> list[dict[str, Any]]:
        """The node's jobs, as ``GET /api/jobs`` tells them."""
        with urlopen(f"{self.node}/api/jobs?limit=200", timeout=30) as answer:  # noqa: S310 (http to 127.0.0.1)
            jobs: list[dict[str, Any]] = json.load(answer)["items"]
        return jobs


def missing_packages() -> list[str]:
    """Debian packages that the stack needs and this machine has not."""
    programs = [package for program, package in _PROGRAMS.items() if _found(program) is None]
    return programs + [package for name, package in _PLUGIN_PACKAGES.items() if not (_PLUGINS / name).exists()]


@contextmanager
def running_stack(
    viewer: Path, *, ports: Ports, logs: Path, stable_seconds: int = 10, overrides: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Archive, node and viewer, ready for work; what they hold is gone at the end, but for their logs.

    Parameters
    ----------
    viewer
        OHIF's folder (`dicom_node.demo.stack.ohif.fetch_ohif`).
    logs
        Folder that keeps each program's log.
    stable_seconds
        How long Orthanc waits for another image of a series before it takes it for whole and routes it.
    overrides
        Further variables, such as ``S2LDM_ROUTES__CECT_ART__OUTPUT``.

    Raises
    ------
    StackError
        ``stack_no_checkout``, ``stack_packages_missing``, ``stack_program_ended`` or ``stack_not_ready``.
    """
    if not CONFIG.is_dir():
        raise StackError("stack_no_checkout", f"There is no {CONFIG}.", "Run it from a checkout of the repository.")
    missing = missing_packages()
    if missing:
        raise StackError(
            "stack_packages_missing",
            "The stack needs Debian packages that are not installed.",
            f"apt-get install {' '.join(missing)}",
        )
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="s2ldm-stack-") as scratch, ExitStack() as stack:
        state = Path(scratch)
        (state / "archive").mkdir()
        variables = environment(
            ports,
            state=state,
            templates=CONFIG,
            viewer=viewer,
            stable_seconds=stable_seconds,
        ) | dict(overrides or {})
        fill_in(CONFIG, state, variables)
        stack.callback(_keep_logs, state, logs)

        def start(name: str, *command: str) -> Program:
            return stack.enter_context(running(name, command, environment=variables, folder=state))

        node = start("node", sys.executable, "-m", "dicom_node", "serve", "--config", str(state / "node.yaml"))
        archive = start("orthanc", str(_found("Orthanc")), str(CONFIG / "orthanc.json"))
        nginx = start("nginx", str(_found("nginx")), "-p", str(state), "-e", "stderr", "-c", str(state / "nginx.conf"))
        stack.callback(_end, (archive, node, nginx))
        result = Stack(ports=ports, state=state, programs=(archive, node, nginx))
        archive.await_answer(f"{result.archive}/system", seconds=_START_SECONDS)
        nginx.await_answer(f"{result.viewer}/dicom-web/studies?limit=1", seconds=_START_SECONDS)
        node.await_answer(f"{result.node}/readyz", seconds=_MODEL_SECONDS)
        yield result


def _found(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=_SBIN)


def _end(programs: Sequence[Program]) -> None:
    """Ask all to end before one is waited for."""
    for program in programs:
        program.process.terminate()


def _keep_logs(state: Path, logs: Path) -> None:
    for log in state.glob("*.log"):
        shutil.copyfile(log, logs / log.name)
