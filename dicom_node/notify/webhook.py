"""``webhook``: the notice as JSON, posted to an address."""

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from dicom_node.errors import NodeError
from dicom_node.notify.target import Notice, NotifyTarget
from dicom_node.section import PositiveSeconds
from dicom_node.web_client import WebAuth, web_address, web_client


class WebhookTarget(NotifyTarget):
    """An address that takes ``{node, event, summary, lines, text}``; chat services read ``text``."""

    type: Literal["webhook"] = "webhook"
    url: str
    auth: WebAuth | None = None
    ca: Path | None = None
    timeout_seconds: PositiveSeconds = 10.0

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        return web_address(value)

    @property
    def name(self) -> str:
        """Without what may be a secret in it."""
        return f"webhook {self.url.split('/')[2]}"

    def tell(self, notice: Notice) -> None:
        """See `dicom_node.notify.NotifyTarget`."""
        import httpx

        client = web_client(
            auth=self.auth,
            ca=self.ca,
            connect_seconds=self.timeout_seconds,
            answer_seconds=self.timeout_seconds,
            accept="*/*",
        )
        try:
            with client:
                status = client.post(self.url, json=notice.plain()).status_code
        except httpx.HTTPError as error:
            raise NodeError(
                "notice_not_sent", f"{self.name} cannot be reached ({type(error).__name__}).", "Check notify.url."
            ) from error
        if not 200 <= status < 300:
            raise NodeError(
                "notice_not_sent", f"{self.name} answers HTTP {status}.", "Check notify.url and notify.auth."
            )
