"""DICOM over TLS with DCMTK at the other end, both ways; certificates made by OpenSSL."""

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node.config import parse_settings
from dicom_node.errors import ConfigError, NodeError
from dicom_node.states import Verdict
from tests import peers
from tests.certificates import Pem, make_pems

pytestmark = pytest.mark.dcmtk

NodeStarter = Callable[..., peers.Peer]
Writer = Callable[..., list[Path]]


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pem]:
    return make_pems(tmp_path_factory.mktemp("pem"))


def _node(start_node: NodeStarter, pems: dict[str, Pem], **tls: Any) -> tuple[peers.Peer, int]:
    port = peers.free_port()
    section = {
        "port": port,
        "certificate": str(pems["node"].certificate),
        "key": str(pems["node"].key),
        "ca": str(pems["ca"].certificate),
        **tls,
    }
    return start_node(
        {"node": {"tls": section}, "routes": {"A": {"phase": "venous", "destinations": []}}, "destinations": {}}
    ), port


def _storescu(port: int, paths: list[Path], *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [peers.STORESCU, "-v", *options, "-aec", "A", peers.HOST, str(port), *map(str, paths)]
    return subprocess.run(command, env=peers.environment(), capture_output=True, check=False, timeout=60)


def test_dcmtk_stores_over_tls_and_a_certificate_is_asked_for_where_that_is_said(
    start_node: NodeStarter, pems: dict[str, Pem], write_ct_series: Writer
) -> None:
    # Large enough that images come in many records.
    paths = write_ct_series(np.random.default_rng(0).integers(-500, 500, (4, 256, 256)).astype(np.float32))
    node, port = _node(start_node, pems, peer_certificate="required")
    own = ["+tls", str(pems["peer"].key), str(pems["peer"].certificate), "+cf", str(pems["ca"].certificate)]
    sent = _storescu(port, paths, *own)
    assert sent.returncode == 0, (sent.stdout + sent.stderr).decode()[-2000:]
    (series,) = node.get_json("/api/series")["items"]
    assert series["instances"] == 4

    silent = [socket.create_connection((peers.HOST, port)) for _ in range(3)]  # they shake no hands, and hold up nobody
    began = time.monotonic()
    again = _storescu(port, paths, *own)
    assert again.returncode == 0
    assert time.monotonic() - began < 20.0
    for connection in silent:
        connection.close()

    stranger = [
        "+tls",
        str(pems["stranger"].key),
        str(pems["stranger"].certificate),
        "+cf",
        str(pems["ca"].certificate),
    ]
    assert _storescu(port, paths, *stranger).returncode != 0
    assert _storescu(port, paths, "+tla", "+cf", str(pems["ca"].certificate)).returncode != 0
    assert _storescu(port, paths).returncode != 0  # in the clear
    assert _storescu(node.port, paths).returncode == 0  # on the other port, in the clear


def test_derived_objects_go_out_over_tls_to_whom_the_certificate_names_alone(
    tmp_path: Path, pems: dict[str, Pem], write_ct_series: Writer
) -> None:
    paths = write_ct_series(np.random.default_rng(0).integers(-500, 500, (3, 128, 128)).astype(np.float32))
    options = ("+tls", str(pems["peer"].key), str(pems["peer"].certificate), "+cf", str(pems["ca"].certificate))
    with peers.storescp(tmp_path / "scp", options=options) as scp:

        def destination(**tls: Any) -> Any:
            section = {**peers.destination(scp), "tls": {"ca": str(pems["ca"].certificate), **tls}}
            settings = parse_settings({"routes": {"A": {"phase": "venous"}}, "destinations": {"pacs": section}})
            return settings.destinations["pacs"].open(own_ae_title="S2LDM")

        own = {"certificate": str(pems["node"].certificate), "key": str(pems["node"].key)}
        assert "answers" in destination(**own).check()
        answers = destination(**own).send(paths, on_answer=lambda _: None, should_stop=lambda: False)
        assert [one.verdict for one in answers] == [Verdict.ACCEPTED] * 3
        for wrong in (
            {**own, "ca": str(pems["stranger"].certificate)},
            {**own, "server_name": "archive.example"},
            {},  # it asks for a certificate
        ):
            with pytest.raises(NodeError):
                destination(**wrong).check()
        assert "answers" in destination(**own, server_name="archive.example", check_host=False).check()


def test_what_cannot_be_used_is_told_before_anything_listens(tmp_path: Path, pems: dict[str, Pem]) -> None:
    from dicom_node.receive.listener import open_ports

    port = peers.free_port()
    section = {"port": port, "certificate": str(pems["node"].certificate), "key": str(pems["peer"].key)}
    settings = parse_settings({"node": {"data_dir": str(tmp_path), "port": peers.free_port(), "tls": section}})
    with pytest.raises(ConfigError) as refused:
        open_ports(settings)
    assert refused.value.code == "tls_unusable"
    for tls in ({"port": port}, {"port": port, "certificate": "a", "key": "b", "peer_certificate": "required"}):
        with pytest.raises(ConfigError):
            parse_settings({"node": {"tls": tls}})
