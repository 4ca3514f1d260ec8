"""The configuration's ``audit`` section."""

from typing import Literal

from pydantic import Field, field_validator

from dicom_node.section import Section


class AuditSettings(Section):
    """Where the audit trail goes beside ``data_dir/audit``, and how long its files stay; null: for ever."""

    syslog: str | None = None
    transport: Literal["tcp", "udp"] = "tcp"
    keep_days: float | None = Field(default=2190.0, ge=1)

    @field_validator("syslog")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            host, _, port = value.rpartition(":")
            if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
                raise ValueError("give host:port, such as log.example:601 or [::1]:601")
        return value

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the syslog server, where there is one."""
        host, _, port = (self.syslog or "").rpartition(":")
        return host.strip("[]"), int(port or 0)
