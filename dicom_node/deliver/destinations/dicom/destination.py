"""A DICOM peer as a destination."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from dicom_node.deliver.destinations.destination import Answer, DestinationSettings
from dicom_node.errors import DeliverError
from dicom_node.section import AETitle, Port, PositiveSeconds
from dicom_node.tls import ClientTls

if TYPE_CHECKING:
    from pydicom.uid import UID

    from dicom_node.commitment import CommitmentReport, CommitmentRequest

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0"})  # noqa: S104 (compared with, not bound to)


class DicomSettings(DestinationSettings):
    """One peer that derived series go to, and how patient the node is with it."""

    counts_images: ClassVar[bool] = True
    fetches_images: ClassVar[bool] = True
    commits: ClassVar[bool] = True
    takes_moves: ClassVar[bool] = True

    type: Literal["dicom"] = "dicom"
    ae_title: AETitle
    host: str = Field(min_length=1)
    port: Port
    calling_ae_title: AETitle | None = None
    connect_timeout_seconds: PositiveSeconds = 10.0
    response_timeout_seconds: PositiveSeconds = 60.0
    tls: ClientTls | None = None
    associations: int = Field(default=1, ge=1, le=16)
    """Open at the same time, each with a delivery of its own."""
    commitment_answer_seconds: PositiveSeconds = 600.0
    """With ``verify: commitment``: it is asked anew where it has not answered by then."""

    @property
    def at_once(self) -> int:
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return self.associations

    @property
    def answer_seconds(self) -> float:
        """Connecting, the association's answer, and that to the first object."""
        return self.connect_timeout_seconds + 2 * self.response_timeout_seconds

    @property
    def commitment_seconds(self) -> float:
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return self.commitment_answer_seconds

    @property
    def called_back_at(self) -> str | None:
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return self.calling_ae_title if self.verify == "commitment" else None

    @property
    def called_ae_title(self) -> str:
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return self.ae_title

    @property
    def place(self) -> str:
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return self.host

    def open(self, *, own_ae_title: str) -> "DicomDestination":
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return DicomDestination(self, own_ae_title=own_ae_title)

    def called_at(self, port: int) -> str | None:
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return self.ae_title if self.host in _LOOPBACK and self.port == port else None


class DicomDestination:
    """A peer, called as a Service Class User; see `dicom_node.deliver.destinations.Destination`."""

    def __init__(self, settings: DicomSettings, *, own_ae_title: str) -> None:
        self._settings = settings
        self._calling_ae = settings.calling_ae_title or own_ae_title

    @property
    def name(self) -> str:
        """Its AE title."""
        return self._settings.ae_title

    def check(self, sop_classes: Sequence["UID"] = ()) -> str:
        """C-ECHO, and negotiate the SOP classes beside it."""
        from dicom_node.deliver.destinations.dicom.scu import echo

        where = f"{self.name} at {self._settings.host}:{self._settings.port}"
        wanted = (*sop_classes, *self._services())
        refused = echo(self._settings, calling_ae=self._calling_ae, storage=wanted)
        if refused:
            raise DeliverError(
                "no_context",
                f"{where} answers, but does not take {', '.join(uid.name for uid in refused)} from {self._calling_ae}.",
                "Enable it there, or choose another output for the routes.",
            )
        taken = ", ".join(sorted(uid.name for uid in sop_classes))
        return f"{where} answers" + (f" and takes {taken} from {self._calling_ae}" if taken else "")

    def _services(self) -> Sequence["UID"]:
        """SOP classes that are no objects and that it must take all the same."""
        if self._settings.verify != "commitment":
            return ()
        from dicom_node.commitment import SOP_CLASS

        return (SOP_CLASS,)

    def send(
        self, files: Sequence[Path], *, on_answer: Callable[[Answer], None], should_stop: Callable[[], bool]
    ) -> list[Answer]:
        """C-STORE over one association."""
        from dicom_node.deliver.destinations.dicom.scu import send_files

        return send_files(
            files, self._settings, calling_ae=self._calling_ae, on_answer=on_answer, should_stop=should_stop
        )

    def carry(
        self,
        files: Sequence[Path],
        *,
        originator: tuple[str, int],
        on_answer: Callable[[Answer], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """Sub-operations of a C-MOVE; see `dicom_node.deliver.destinations.Carrier`."""
        from dicom_node.deliver.destinations.dicom.scu import send_files

        send_files(
            files,
            self._settings,
            calling_ae=self._calling_ae,
            originator=originator,
            on_answer=on_answer,
            should_stop=should_stop,
        )

    def ask_to_commit(
        self,
        request: "CommitmentRequest",
        *,
        on_report: Callable[["CommitmentReport"], bool],
        answered: Callable[[], bool],
    ) -> None:
        """N-ACTION; see `dicom_node.deliver.destinations.Committer`."""
        from dicom_node.deliver.destinations.dicom.commitment import ask_to_commit

        ask_to_commit(self._settings, request, calling_ae=self._calling_ae, on_report=on_report, answered=answered)

    def count_images(self, *, study_instance_uid: str, series_instance_uid: str) -> int:
        """C-FIND; see `dicom_node.deliver.destinations.ImageCounter`."""
        from dicom_node.deliver.destinations.dicom.find import count_images

        return count_images(
            self._settings,
            calling_ae=self._calling_ae,
            study_instance_uid=study_instance_uid,
            series_instance_uid=series_instance_uid,
        )

    def fetch_missing(
        self, *, move_to: str, study_instance_uid: str, series_instance_uid: str, held: Collection[str]
    ) -> int:
        """C-FIND and C-MOVE; see `dicom_node.deliver.destinations.ImageFetcher`."""
        from dicom_node.deliver.destinations.dicom.fetch import fetch_missing

        return fetch_missing(
            self._settings,
            calling_ae=self._calling_ae,
            move_to=move_to,
            study_instance_uid=study_instance_uid,
            series_instance_uid=series_instance_uid,
            held=held,
        )
