"""Fixtures for tests with real programs: Orthanc, DCMTK, our node, each a process of its own on free loopback ports."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests import peers
from tests.paths import ROOT

NodeStarter = Callable[..., peers.Peer]


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[peers.Peer]:
    """An empty Orthanc; tests that use it carry the marker ``orthanc``."""
    with peers.orthanc(tmp_path / "orthanc") as peer:
        yield peer


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[peers.Peer]:
    """DCMTK's storage SCP; tests that use it carry the marker ``dcmtk``."""
    with peers.storescp(tmp_path / "storescp") as peer:
        yield peer


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[NodeStarter]:
    """``start_node(settings, folder="node", prefix=()) -> Peer``: runs ``s2ldm-node serve`` until the test ends.

    ``settings`` is laid over a configuration with free ports, section by section. Started again with the same folder,
    the node finds what the earlier run left.
    """
    with ExitStack() as running:

        def start(settings: Mapping[str, Any] | None = None, *, folder: str = "node", **options: Any) -> peers.Peer:
            return running.enter_context(peers.node(tmp_path / folder, settings, **options))

        yield start


@pytest.fixture(scope="session")
def phantom_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small non-contrast phantom series: a folder of 12 CT images of 96x96."""
    from s2ldm_core.phantom import Phantom
    from s2ldm_core.phantom.dicom import write_series

    folder = tmp_path_factory.mktemp("phantom") / "series"
    phantom = Phantom(seed=20_001, matrix=(96, 96), slices=12, region="abdomen")
    write_series(phantom, folder, phase="native")
    return folder


@pytest.fixture(scope="session")
def cases(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated cases: ``NAME/*.dcm`` and ``NAME.npz``, made once for all processes of a run.

    The generator keeps a file beside itself, so it is copied.
    """
    generator = real_data / "cases" / "gen.py"
    if not generator.is_file():
        pytest.skip("the real data folder has no cases/gen.py")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cases"
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").is_file():
            folder.mkdir(exist_ok=True)
            (folder / "gen.py").write_bytes(generator.read_bytes())
            subprocess.run(
                [sys.executable, str(folder / "gen.py"), str(folder / "out")],
                check=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                timeout=300,
            )
            (folder / "made").touch()
    return folder / "out"
