"""Certificates made by OpenSSL, and by cryptography those that are good at another time than now."""

import subprocess
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


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


def make_dated(
    folder: Path, name: str, *, signed_by: Pem, begins: datetime, ends: datetime, host: str = "127.0.0.1"
) -> Pem:
    """A certificate for an address, good in a time that need not be now."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(signed_by.certificate.read_bytes())
    issuer_key = serialization.load_pem_private_key(signed_by.key.read_bytes(), password=None)
    assert isinstance(issuer_key, rsa.RSAPrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    pem = Pem(folder / f"{name}.pem", folder / f"{name}.key")
    pem.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem
