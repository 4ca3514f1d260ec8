"""The stack's addresses, and its configuration files filled in for them."""

import os
import shutil
import socket
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Ports:
    """TCP ports on 127.0.0.1; the defaults are those that documents name."""

    viewer: int = 3000
    archive_http: int = 8042
    archive_dicom: int = 4242
    node_dicom: int = 11112
    node_http: int = 8104

    @classmethod
    def usual(cls) -> Self:
        """The defaults, and another one for each that is taken."""
        return cls.of(cls())

    @classmethod
    def of(cls, wanted: Self) -> Self:
        """``wanted``, and another one for each that is taken."""
        return cls(**{name: port if _is_free(port) else free_port() for name, port in asdict(wanted).items()})

    @classmethod
    def free(cls) -> Self:
        """Ports that nobody listens on."""
        return cls(**{name: free_port() for name in asdict(cls())})


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def environment(ports: Ports, *, state: Path, templates: Path, viewer: Path, stable_seconds: int) -> dict[str, str]:
    """What the programs read from their environment and the templates are filled in with.

    Parameters
    ----------
    state
        Folder for everything that is written.
    templates
        ``config/deploy/stack``.
    viewer
        OHIF's ``dist/``.
    stable_seconds
        How long Orthanc waits for another image of a series.
    """
    # A node of this user's that is configured by environment is another one.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("S2LDM_")}
    return {
        **inherited,
        # Nagle's algorithm against delayed acknowledgement costs DCMTK and Orthanc 46 ms an image.
        "TCP_NODELAY": "1",
        # Orthanc runs its script from the checkout, which stays as it is.
        "PYTHONDONTWRITEBYTECODE": "1",
        "STATE": str(state),
        "STACK_CONFIG": str(templates),
        "OHIF_DIST": str(viewer),
        "VIEWER_LISTEN": f"{HOST}:{ports.viewer}",
        "ORTHANC_HTTP": f"{HOST}:{ports.archive_http}",
        "ORTHANC_HTTP_PORT": str(ports.archive_http),
        "ORTHANC_DICOM_PORT": str(ports.archive_dicom),
        "ORTHANC_STORAGE": str(state / "archive"),
        "ORTHANC_STABLE_SECONDS": str(stable_seconds),
        "NODE_HOST": HOST,
        "NODE_DICOM_PORT": str(ports.node_dicom),
        "S2LDM_NODE__HOST": HOST,
        "S2LDM_NODE__PORT": str(ports.node_dicom),
        "S2LDM_NODE__DATA_DIR": str(state / "node"),
        "S2LDM_NODE__MIN_FREE_MIB": "256",
        "S2LDM_WEB__PORT": str(ports.node_http),
        "S2LDM_DESTINATIONS__PACS__HOST": HOST,
        "S2LDM_DESTINATIONS__PACS__PORT": str(ports.archive_dicom),
    }


def fill_in(templates: Path, state: Path, variables: Mapping[str, str]) -> None:
    """Put what the programs read into ``state``: nginx's files filled in, a copy of ``node.yaml`` that the console may change."""
    for name in ("nginx.conf", "viewer.conf"):
        text = (templates / f"{name}.template").read_text(encoding="utf-8")
        # As envsubst does it in the image: what is no variable of ours, such as nginx's own $uri, stays.
        (state / name).write_text(string.Template(text).safe_substitute(variables), encoding="utf-8")
    shutil.copyfile(templates / "node.yaml", state / "node.yaml")
