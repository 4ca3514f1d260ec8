"""``mail``: the notice as an e-mail."""

import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from pydantic import Field

from dicom_node.errors import NodeError
from dicom_node.notify.target import Notice, NotifyTarget
from dicom_node.section import Port, PositiveSeconds
from dicom_node.web_client import read_secret


class MailTarget(NotifyTarget):
    """A mail server (SMTP, RFC 5321) and who reads there."""

    type: Literal["mail"] = "mail"
    host: str = Field(min_length=1)
    port: Port = 587
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    secret_file: Path | None = None
    sender: str = Field(min_length=3)
    to: tuple[str, ...] = Field(min_length=1)
    timeout_seconds: PositiveSeconds = 20.0

    @property
    def name(self) -> str:
        """Its server and readers."""
        return f"mail to {', '.join(self.to)} by {self.host}"

    def tell(self, notice: Notice) -> None:
        """See `dicom_node.notify.NotifyTarget`."""
        message = EmailMessage()
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message["Subject"] = f"{notice.node}: {notice.summary}"[:200]
        message.set_content(notice.text)
        context = ssl.create_default_context()
        try:
            if self.encryption == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    self.host, self.port, timeout=self.timeout_seconds, context=context
                )
            else:
                server = smtplib.SMTP(self.host, self.port, timeout=self.timeout_seconds)
            with server:
                if self.encryption == "starttls":
                    server.starttls(context=context)
                if self.user is not None and self.secret_file is not None:
                    server.login(self.user, read_secret(self.secret_file))
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise NodeError(
                "notice_not_sent",
                f"{self.name} cannot be sent ({type(error).__name__}).",
                "Check host, port, encryption, user and secret_file of this target.",
            ) from error
