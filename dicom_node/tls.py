"""TLS between DICOM peers (PS3.15 B.9 to B.12, BCP 195): its section of the configuration, and contexts from it."""

import ssl
from pathlib import Path
from typing import Literal, Self

import structlog
from pydantic import Field, model_validator

from dicom_node.errors import ConfigError
from dicom_node.section import Port, Section

_log = structlog.get_logger(__name__)


class ServerTls(Section):
    """A second port that speaks TLS alone. ``port`` null: there is none."""

    port: Port | None = None
    certificate: Path | None = None
    """PEM, the node's own first, then what signed it."""
    key: Path | None = None
    ca: Path | None = None
    """PEM: who must have signed a peer's certificate."""
    peer_certificate: Literal["none", "optional", "required"] = "none"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.port is not None and (self.certificate is None or self.key is None):
            raise ValueError("tls.port needs tls.certificate and tls.key")
        if self.peer_certificate != "none" and self.ca is None:
            raise ValueError("tls.peer_certificate needs tls.ca, or nobody's certificate could be told from another's")
        return self

    def context(self) -> ssl.SSLContext:
        """For the node's port; raises `ConfigError` (``tls_unusable``)."""
        wanted = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = wanted[self.peer_certificate]
        # Who leaves after the handshake is to look like that, and not like one whose handshake broke: nobody resumes an
        # association's session, so no tickets are written to who has left, and how an association ends its PDUs say (PS3.8 9.2).
        context.num_tickets = 0
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        return _loaded(context, certificate=self.certificate, key=self.key, ca=self.ca)


class FreshContext:
    """The context of the node's port, made anew when one of its files has changed. For one thread at a time.

    Files that cannot be used, as while they are being written, leave the context that there is; that is said once.
    """

    def __init__(self, settings: ServerTls) -> None:
        self._settings = settings
        self._of = self._stamps()
        self._context = settings.context()

    def __call__(self) -> ssl.SSLContext:
        """For the next connection."""
        now = self._stamps()
        if now != self._of:
            self._of = now
            try:
                self._context = self._settings.context()
            except ConfigError as error:
                _log.error("certificate_not_taken_up", reason=error.code, why=error.sentence)
            else:
                _log.info("certificate_taken_up")
        return self._context

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        """What tells a file from the one that it takes the place of."""
        files = (self._settings.certificate, self._settings.key, self._settings.ca)
        return [None if file is None else _stamp(file) for file in files]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class ClientTls(Section):
    """TLS to a destination."""

    ca: Path | None = None
    """PEM: who must have signed its certificate; null: those of the system."""
    certificate: Path | None = None
    key: Path | None = None
    """The node's own, where the destination asks for one."""
    check_host: bool = True
    """Whether its certificate must bear the host's name."""
    server_name: str | None = Field(default=None, min_length=1)
    """That name, where it is not ``host``."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("tls.certificate and tls.key belong together")
        return self

    def context(self) -> ssl.SSLContext:
        """For one association; raises `ConfigError` (``tls_unusable``)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.check_host
        if self.ca is None:
            context.load_default_certs()
        return _loaded(context, certificate=self.certificate, key=self.key, ca=self.ca)


def _loaded(context: ssl.SSLContext, *, certificate: Path | None, key: Path | None, ca: Path | None) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # RFC 9325 3.5; TLS 1.3 has none
    file = certificate
    try:
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        file = ca
        if ca is not None:
            context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        why = (
            error.strerror
            if not isinstance(error, ssl.SSLError) and error.strerror
            else "it holds no such thing in PEM"
        )
        named = f"{file} (with {key})" if file == certificate and key is not None else str(file)
        raise ConfigError(
            "tls_unusable",
            f"The certificate {named} cannot be used for TLS: {why}.",
            "Give PEM files that belong together, readable by the user that runs the node, the key without a password.",
        ) from error
    return context
