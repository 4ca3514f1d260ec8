"""``stow``: an archive that takes DICOM over the web, STOW-RS (PS3.18 10.5).

One instance a request: each gets its own answer, and no more than one is in memory. Requests follow no redirect, so that neither
objects nor the secret go anywhere but to the address that the configuration names.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from dicom_node.deliver.destinations.destination import Answer, DestinationSettings
from dicom_node.deliver.destinations.dicom.status import status_sentence, verdict
from dicom_node.errors import DeliverError, NodeError, RetriableDeliverError
from dicom_node.section import PositiveSeconds
from dicom_node.states import Verdict
from dicom_node.web_client import WebAuth, web_address, web_client

if TYPE_CHECKING:
    import httpx
    from pydicom.uid import UID

_LARGEST_ANSWER = 1 << 20
# PS3.18 table 10.5.3-1 beside those of HTTP that mean that others would fare no better, or that it may pass.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
_FORBIDDEN = frozenset({401, 403, 407})
# Attributes of the answer (PS3.18 annex I.2): what was stored, what was not, and why.
_STORED, _FAILED, _REASON, _INSTANCE = "00081199", "00081198", "00081197", "00081155"


class StowSettings(DestinationSettings):
    """One web archive that derived series go to."""

    counts_images: ClassVar[bool] = True

    type: Literal["stow"] = "stow"
    url: str
    """Of the DICOMweb service, such as ``https://archive/dicom-web``."""
    auth: WebAuth | None = None
    ca: Path | None = None
    """Certificates that its own is checked with; ``None``: those of the system."""
    connect_timeout_seconds: PositiveSeconds = Field(default=10.0)
    response_timeout_seconds: PositiveSeconds = Field(default=60.0)

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if "?" in value or "#" in value:
            raise ValueError("an address without ? and #")
        return web_address(value)

    @property
    def place(self) -> str:
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return urlsplit(self.url).hostname or ""

    @property
    def answer_seconds(self) -> float:
        """Connecting, and the answer to one object."""
        return self.connect_timeout_seconds + 2 * self.response_timeout_seconds

    def open(self, *, own_ae_title: str) -> "StowDestination":
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return StowDestination(self)


class StowDestination:
    """A web archive; see `dicom_node.deliver.destinations.Destination`."""

    def __init__(self, settings: StowSettings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        """Its address."""
        return self._settings.url

    def check(self, sop_classes: Sequence["UID"] = ()) -> str:
        """Ask for one study at most (QIDO-RS, PS3.18 10.6), which tells address, certificate and rights."""
        with self._client() as client:
            answer = self._asked(client, "/studies", {"limit": "1"})
        if answer.status_code not in (200, 204):
            raise DeliverError(
                "web_refused",
                f"{self.name} answers {answer.status_code} to a query.",
                "Check the address, which ends where /studies would follow, and auth.",
            )
        return f"{self.name} answers"

    def send(
        self, files: Sequence[Path], *, on_answer: Callable[[Answer], None], should_stop: Callable[[], bool]
    ) -> list[Answer]:
        """Store one instance after the other over one connection."""
        from pydicom.filereader import read_file_meta_info

        answers: list[Answer] = []
        with self._client() as client:
            for path in files:
                if should_stop():
                    break
                uid = str(read_file_meta_info(path).MediaStorageSOPInstanceUID)
                answers.append(self._stored(client, path, uid))
                on_answer(answers[-1])
                if answers[-1].verdict is Verdict.RETRIABLE:
                    break
        return answers

    def count_images(self, *, study_instance_uid: str, series_instance_uid: str) -> int:
        """QIDO-RS; see `dicom_node.deliver.destinations.ImageCounter`."""
        with self._client() as client:
            answer = self._asked(
                client,
                f"/studies/{study_instance_uid}/series",
                {"SeriesInstanceUID": series_instance_uid, "includefield": "00201209"},
            )
        if answer.status_code in (204, 404):
            return 0
        try:
            found = json.loads(answer.content) if answer.status_code == 200 else None
            series = [one for one in found or [] if _value(one, "0020000E") == series_instance_uid]
            return sum(int(_value(one, "00201209")) for one in series)
        except (ValueError, TypeError, AttributeError) as error:
            raise RetriableDeliverError(
                "web_answer_unreadable",
                f"{self.name} does not say how many images it has of a series.",
                "Name another destination in series.confirm_with.",
            ) from error

    def _client(self) -> "httpx.Client":
        settings = self._settings
        try:
            return web_client(
                auth=settings.auth,
                ca=settings.ca,
                connect_seconds=settings.connect_timeout_seconds,
                answer_seconds=settings.response_timeout_seconds,
                accept="application/dicom+json",
            )
        except NodeError as error:
            raise RetriableDeliverError(error.code, error.sentence, error.remedy) from error

    def _asked(self, client: "httpx.Client", path: str, query: Mapping[str, str]) -> "httpx.Response":
        import httpx

        try:
            return client.get(f"{self._settings.url}{path}", params=dict(query))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _stored(self, client: "httpx.Client", path: Path, uid: str) -> Answer:
        """Post one instance and judge what comes back."""
        import httpx

        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        try:
            with client.stream(
                "POST",
                f"{self._settings.url}/studies",
                headers={
                    "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                    "Content-Length": str(len(head) + path.stat().st_size + len(tail)),
                },
                content=_parts(head, path, tail),
            ) as response:
                body = _limited(response)
                status = response.status_code
        except httpx.ConnectError as error:
            raise self._unreachable(error) from error
        except httpx.HTTPError as error:
            return Answer(
                path=path,
                sop_instance_uid=uid,
                status=None,
                verdict=Verdict.RETRIABLE,
                comment=f"{self.name} gave no answer ({type(error).__name__})",
            )
        if status in _FORBIDDEN:
            raise RetriableDeliverError(
                "web_forbidden",
                f"{self.name} does not let this node store (HTTP {status}).",
                "Check auth of this destination and the rights of its user there.",
            )
        judged, why = _judged(status, body, uid)
        comment = "" if judged is Verdict.ACCEPTED else f"{self.name} {why}"
        return Answer(path=path, sop_instance_uid=uid, status=status, verdict=judged, comment=comment)

    def _unreachable(self, error: Exception) -> RetriableDeliverError:
        return RetriableDeliverError(
            "web_unreachable",
            f"{self.name} cannot be reached ({type(error).__name__}).",
            "Check the address, the certificate and that the service runs.",
        )


def _judged(status: int, body: bytes, uid: str) -> tuple[Verdict, str]:
    """What an answer means for the instance: its own failure reason where there is one, else the status (PS3.18 10.5.3)."""
    try:
        found = json.loads(body) if body else {}
        failed = {_value(one, _INSTANCE): int(_value(one, _REASON)) for one in _items(found, _FAILED)}
        stored = {_value(one, _INSTANCE) for one in _items(found, _STORED)}
    except (ValueError, TypeError, AttributeError, RecursionError):
        failed, stored = {}, set()
    if uid in failed:
        return verdict(failed[uid]), status_sentence(failed[uid])
    if status == 200 or (status == 202 and uid in stored):
        return Verdict.ACCEPTED, ""
    judged = Verdict.RETRIABLE if status in _PASSING or status == 202 else Verdict.PERMANENT
    return judged, f"answered HTTP {status}"


def _items(found: Any, tag: str) -> list[Any]:
    return list(found.get(tag, {}).get("Value", []))


def _value(item: Any, tag: str) -> Any:
    """First value of an attribute in DICOM JSON (PS3.18 F.2)."""
    return item.get(tag, {}).get("Value", [None])[0]


def _parts(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as file:
        while part := file.read(1 << 18):
            yield part
    yield tail


def _limited(response: "httpx.Response") -> bytes:
    """The body, or nothing of one that is too long to be an answer."""
    body = b""
    for part in response.iter_bytes():
        body += part
        if len(body) > _LARGEST_ANSWER:
            return b""
    return body
