"""Certificates made by OpenSSL."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class Pem(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path


def make_pems(folder: Path) -> dict[str, Pem]:
    """``node`` and ``peer`` signed by ``ca``, and a ``stranger`` that signed itself."""
    made = {}
    for name in ("ca", "node", "peer", "stranger"):
        pem = Pem(folder / f"{name}.pem", folder / f"{name}.key")
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        command += ["-keyout", str(pem.key), "-out", str(pem.certificate)]
        if name != "ca":
            command += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
        if name in ("node", "peer"):
            command += ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key")]
        subprocess.run(command, check=True, capture_output=True)
        made[name] = pem
    return made
