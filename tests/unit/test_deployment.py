"""What lies in config/deploy is what its programs take, and what the node reads."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dicom_node.config import read_settings
from tests.paths import ROOT

DEPLOY = ROOT / "config" / "deploy"


def _program(name: str) -> str:
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/bin")
    if path is None:
        pytest.skip(f"not installed: {name}")
    return path


@pytest.fixture
def cluster() -> dict[str, Any]:
    composed: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.cluster.yaml").read_text())
    return composed


def test_nodes_of_the_cluster_read_what_compose_tells_them(cluster: dict[str, Any]) -> None:
    nodes = [cluster["services"][name] for name in ("node-a", "node-b", "node-c")]
    read = [read_settings("", source="compose", environ=node["environment"]) for node in nodes]

    assert all(one.several_nodes for one in read)
    assert len({(one.node.database, one.node.data_dir) for one in read}) == 1
    assert {tuple(node["volumes"]) for node in nodes} == {("data:/var/lib/s2ldm",)}
    assert "password" not in (read[0].node.database or "")


def test_balancer_knows_every_node_by_the_ports_of_the_defaults(cluster: dict[str, Any]) -> None:
    settings = read_settings("", source="defaults", environ={})
    text = (DEPLOY / "haproxy.cfg").read_text()

    for name in (name for name in cluster["services"] if name.startswith("node-")):
        assert f"server {name} {name}:{settings.node.port} check port {settings.web.port}" in text
        assert f"server {name} {name}:{settings.web.port} check" in text


def test_balancer_takes_its_configuration(tmp_path: Path) -> None:
    text = (DEPLOY / "haproxy.cfg").read_text()
    for name in ("node-a", "node-b", "node-c"):
        text = text.replace(f" {name}:", " 127.0.0.1:")
    path = tmp_path / "haproxy.cfg"
    path.write_text(text)

    checked = subprocess.run([_program("haproxy"), "-c", "-f", str(path)], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stderr


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "s2ldm-node"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "s2ldm-node.service"
    text = (DEPLOY / "s2ldm-node.service").read_text()
    assert "/opt/s2ldm/bin/s2ldm-node serve" in text
    unit.write_text(text.replace("/opt/s2ldm/bin/s2ldm-node serve", f"{program} serve"))

    checked = subprocess.run([_program("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True)

    assert (checked.returncode, checked.stderr) == (0, "")
