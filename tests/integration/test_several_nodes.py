"""Several nodes on one PostgreSQL and one data_dir: any of them may die, and the database may go and come back.

The senders choose the ports in turn, as a load balancer would. Not covered here: nodes on several machines, and a file
system between them.
"""

import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_node.catalog import Catalog, Verdict
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.deliver.destinations.dicom.scu import send_files
from dicom_node.errors import DeliverError
from tests import peers, postgres
from tests.ct_series import body_hu
from tests.tiny_model import write_tiny_package

pytestmark = [
    pytest.mark.orthanc,
    pytest.mark.skipif(postgres.missing() is not None, reason=str(postgres.missing())),
]

SECONDS = 60.0
SLICES = 4
#: Never used, as the server trusts whoever comes; it must not be seen anywhere.
PASSWORD = "Pa55-word"  # noqa: S105


class Cluster:
    """Three nodes, their database and where they deliver."""

    def __init__(self, folder: Path, server: postgres.Server, orthanc: peers.Peer) -> None:
        self.folder, self.server, self.orthanc = folder, server, orthanc
        self.url = server.url(server.create(), password=PASSWORD)
        self.nodes: list[peers.Peer] = []
        self._package = write_tiny_package(folder / "tiny")

    def start(self, running: ExitStack, name: str) -> None:
        """Start a node."""
        route = {"phase": "arterial", "model": str(self._package), "destinations": ["pacs"], "anatomy": "any"}
        settings: dict[str, dict[str, Any]] = {
            "node": {
                "data_dir": str(self.folder / "var"),
                "database": self.url,
                "min_free_mib": 16,
                "host": peers.HOST,
            },
            "series": {"quiet_seconds": 1, "min_slices": 3},
            "routes": {"CECT_ART": route},
            "destinations": {"pacs": {**peers.destination(self.orthanc), "retry_seconds": 0.5}},
            "compute": {"device": "cpu", "threads": 1},
        }
        settings["node"]["port"] = peers.free_port()
        self.nodes.append(running.enter_context(peers.node(self.folder / name, settings)))

    def living(self) -> list[peers.Peer]:
        """The nodes that run."""
        return [node for node in self.nodes if node.process.poll() is None]

    def catalog(self) -> Catalog:
        """Their catalog."""
        return Catalog(self.url)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as running:
        server = running.enter_context(postgres.server())
        orthanc = running.enter_context(peers.orthanc(folder / "orthanc"))
        made = Cluster(folder, server, orthanc)
        with ThreadPoolExecutor() as pool:  # at once: one of them makes the tables, the others wait for it
            list(pool.map(lambda name: made.start(running, name), ("a", "b", "c")))
        yield made
        for node in made.living():
            node.kill()


@pytest.fixture
def write_series(write_ct_series: Callable[..., list[Path]]) -> Callable[[int], list[list[Path]]]:
    def write(count: int) -> list[list[Path]]:
        return [
            write_ct_series(body_hu(SLICES, 32), folder=f"s{number}", spacing_mm=(3.0, 2.0, 2.0))
            for number in range(count)
        ]

    return write


def sent(node: peers.Peer, paths: list[Path]) -> bool:
    """Whether a node has taken a whole series."""
    try:
        answers = send_files(
            paths, DicomSettings(ae_title="CECT_ART", host=peers.HOST, port=node.port), calling_ae="SENDER"
        )
    except DeliverError:
        return False
    return [answer.verdict for answer in answers] == [Verdict.ACCEPTED] * len(paths)


def send_in_turn(cluster: Cluster, series: list[Path], ports: Iterator[peers.Peer]) -> None:
    """Send a series to the next node; if that does not take it, to the one after it, as any sender would."""
    peers.wait_until(lambda: sent(next(ports), series), seconds=SECONDS, what="a node to take a series")


def states(cluster: Cluster) -> Counter[str]:
    with cluster.catalog() as catalog:
        return Counter(catalog.count_jobs())


def check_delivered(cluster: Cluster, sources: list[list[Path]]) -> None:
    """Every series has one derived series at the destination, and no instance is missing, or there under two UIDs."""
    wanted = {str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID) for paths in sources}
    studies = {one["MainDicomTags"]["StudyInstanceUID"]: one for one in cluster.orthanc.get_json("/studies?expand")}
    assert wanted <= set(studies)
    for uid in wanted:
        (derived,) = studies[uid]["Series"]
        assert len(cluster.orthanc.get_json(f"/series/{derived}")["Instances"]) == SLICES


def test_one_node_killed_in_the_middle_costs_no_series(
    cluster: Cluster, write_series: Callable[[int], list[list[Path]]]
) -> None:
    sources = write_series(9)
    ports = cycle(cluster.nodes)
    for series in sources[:6]:
        send_in_turn(cluster, series, ports)
    peers.wait_until(lambda: states(cluster).total() > 0, seconds=SECONDS, what="the first job")
    # The one that leads, as its sweeps have to go on, too.
    (leading,) = [node for node in cluster.nodes if "lead_taken" in node.log.read_text()]
    leading.kill()
    for series in sources[6:]:
        send_in_turn(cluster, series, ports)

    peers.wait_until(
        lambda: states(cluster) == {"done": len(sources)}, seconds=SECONDS, what=f"all to be done: {states(cluster)}"
    )

    check_delivered(cluster, sources)
    with cluster.catalog() as catalog:
        assert [one.state for one in catalog.list_deliveries()] == ["done"] * len(sources)
    assert any("lead_taken" in node.log.read_text() for node in cluster.living())


def test_without_its_database_a_node_acknowledges_nothing_and_goes_on_afterwards(
    cluster: Cluster, write_series: Callable[[int], list[list[Path]]]
) -> None:
    (series,) = write_series(1)
    before = sum(states(cluster).values())
    node = cluster.living()[0]
    cluster.server.stop()
    try:
        begun = time.monotonic()
        assert not sent(node, series)
        assert time.monotonic() - begun < 20
        with pytest.raises(urllib.error.HTTPError) as refused:
            node.get("/readyz")
        assert refused.value.code == 503
        assert "does not answer" in refused.value.read().decode()
    finally:
        cluster.server.start()

    peers.wait_until(lambda: sent(node, series), seconds=SECONDS, what="the node to receive again")
    peers.wait_until(
        lambda: states(cluster) == {"done": before + 1}, seconds=SECONDS, what=f"it to be done: {states(cluster)}"
    )
    check_delivered(cluster, [series])
    peers.wait_until(lambda: is_ready(node), seconds=SECONDS, what="the node to be ready again")


def is_ready(node: peers.Peer) -> bool:
    try:
        node.get("/readyz")
    except urllib.error.HTTPError:
        return False
    return True


def test_password_of_the_database_is_in_no_log(cluster: Cluster) -> None:
    for node in cluster.nodes:
        text = node.log.read_text()
        assert "listening" in text
        assert PASSWORD not in text
