"""The configuration's ``audit`` section."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from dicom_node.section import Section
from dicom_node.tls import ClientTls


class AuditSettings(Section):
    """Where the audit trail goes beside ``data_dir/audit``, and how long its files stay; null: for ever.

    ``tls``: with ``transport: tls``, whose certificate is trusted and which is shown; null: the system's authorities, and none.
    """

    syslog: str | None = None
    transport: Literal["tcp", "tls", "udp"] = "tcp"
    tls: ClientTls | None = None
    keep_days: float | None = Field(default=2190.0, ge=1)

    @field_validator("syslog")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            host, _, port = value.rpartition(":")
            if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
                raise ValueError("give host:port, such as log.example:601 or [::1]:601")
        return value

    @model_validator(mode="after")
    def _secured_where_it_says_so(self) -> Self:
        if self.tls is not None and self.transport != "tls":
            raise ValueError("audit.tls means nothing without transport: tls")
        return self

    @property
    def secured(self) -> ClientTls | None:
        """How TLS is spoken, if it is."""
        return (self.tls or ClientTls()) if self.transport == "tls" else None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the syslog server, where there is one."""
        host, _, port = (self.syslog or "").rpartition(":")
        return host.strip("[]"), int(port or 0)
