"""What the stack downloads, where it listens, and what it fills in."""

import socket
from pathlib import Path

import pytest

from dicom_node.demo.stack.ohif import OHIF_VERSION, ViewerError, fetch_ohif, fetched_ohif
from dicom_node.demo.stack.places import CONFIG
from dicom_node.demo.stack.settings import HOST, Ports, environment, fill_in


def test_another_package_than_the_tested_one_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a registry would answer that serves something else under the same name and version."""
    registry = tmp_path / "bin"
    registry.mkdir()
    npm = registry / "npm"
    npm.write_text('#!/bin/sh\nwhile [ "$1" != --pack-destination ]; do shift; done\necho other > "$2/ohif-app.tgz"\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{registry}:/usr/bin:/bin")
    with pytest.raises(ViewerError) as caught:
        fetch_ohif(tmp_path / "build")
    assert caught.value.code == "viewer_checksum"
    assert fetched_ohif(tmp_path / "build") is None


def test_without_npm_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ViewerError) as caught:
        fetch_ohif(tmp_path / "build")
    assert caught.value.code == "viewer_no_npm"


def test_what_was_fetched_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / f"ohif-{OHIF_VERSION}"
    folder.mkdir()
    (folder / "index.html").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fetch_ohif(tmp_path) == folder


def test_port_that_is_taken_is_left_to_who_has_it() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = int(other.getsockname()[1])
        assert Ports.of(Ports(viewer=taken)).viewer != taken
    assert Ports.of(Ports(viewer=taken)).viewer == taken


def test_files_are_filled_in_and_nginx_keeps_its_own_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2LDM_CONFIG", "/another/node.yaml")
    ports = Ports(viewer=3333, archive_http=8888)
    variables = environment(ports, state=tmp_path, templates=CONFIG, viewer=Path("/ohif"), stable_seconds=3)
    fill_in(CONFIG, tmp_path, variables)
    text = (tmp_path / "viewer.conf").read_text()
    assert "listen 127.0.0.1:3333;" in text
    assert "proxy_pass http://127.0.0.1:8888;" in text
    assert "try_files $uri /index.html;" in text
    assert "${" not in text + (tmp_path / "nginx.conf").read_text()
    assert "S2LDM_CONFIG" not in variables
