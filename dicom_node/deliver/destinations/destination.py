"""What every kind of destination offers: its section of the configuration, sending, and a check."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from dicom_node.section import PositiveSeconds, Section
from dicom_node.states import Verdict

if TYPE_CHECKING:
    from pydicom.uid import UID

    from dicom_node.commitment import CommitmentReport, CommitmentRequest


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a destination answered for one file.

    ``status`` is the answer in the protocol's own numbers, for people; None when no answer came or none could be asked
    for. ``comment`` says in words, without a full stop, why an instance was not accepted.
    """

    path: Path
    sop_instance_uid: str
    status: int | None
    verdict: Verdict
    comment: str = ""


class Destination(Protocol):
    """Somewhere that derived series go to. Made for one delivery or one look, by one thread."""

    @property
    def name(self) -> str:
        """What sentences call it, such as an AE title."""

    def check(self, sop_classes: Sequence["UID"] = ()) -> str:
        """Say what was found: that it is there, and takes objects of these SOP classes. Nothing is stored.

        Raises
        ------
        DeliverError
            With the reason; ``RetriableDeliverError`` when it may pass.
        """

    def send(
        self, files: Sequence[Path], *, on_answer: Callable[[Answer], None], should_stop: Callable[[], bool]
    ) -> list[Answer]:
        """Send DICOM files, in order.

        Goes on after an object that is refused for good; stops at the first failure that may pass, as the rest would
        most likely meet it too.

        Parameters
        ----------
        on_answer
            Called after every answer, in order, before the next object is sent.
        should_stop
            Asked before every object; true ends sending in order.

        Returns
        -------
        list of Answer
            For every object that was tried; shorter than ``files`` when sending stopped.

        Raises
        ------
        DeliverError
            Nothing can be sent; ``RetriableDeliverError`` when that may pass.
        """


class ImageCounter(Protocol):
    """A destination that can be asked how many images it has of a series (``series.confirm_with``)."""

    def count_images(self, *, study_instance_uid: str, series_instance_uid: str) -> int:
        """How many; 0 where it does not know the series.

        Raises
        ------
        DeliverError
            It gave no answer.
        """


class ImageFetcher(Protocol):
    """A destination that can be asked to send images of a series to the node (``series.fetch_missing``)."""

    def fetch_missing(
        self, *, move_to: str, study_instance_uid: str, series_instance_uid: str, held: Collection[str]
    ) -> int:
        """Have it send those that are not ``held`` to the AE title ``move_to``; how many it was asked for.

        Raises
        ------
        DeliverError
            It will not, or did not answer.
        """


class Carrier(Protocol):
    """A destination that others have objects sent to (C-MOVE)."""

    def carry(
        self,
        files: Sequence[Path],
        *,
        originator: tuple[str, int],
        on_answer: Callable[[Answer], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """As `Destination.send`, in the name of ``originator``: AE title and Message ID of the request (PS3.7 9.1.1.1)."""


class Committer(Protocol):
    """A destination that can be asked to take over the safekeeping of what it has (storage commitment)."""

    def ask_to_commit(
        self,
        request: "CommitmentRequest",
        *,
        on_report: Callable[["CommitmentReport"], bool],
        answered: Callable[[], bool],
    ) -> None:
        """Ask, and listen for a moment for an answer on the same association.

        Parameters
        ----------
        on_report
            Called with an answer that comes at once, from another thread; False: there was no such request. What it raises
            tells the peer to report again.
        answered
            Whether there is no need to listen any longer: an answer may have come another way.

        Raises
        ------
        DeliverError
            It will not be asked; ``RetriableDeliverError`` when that may pass.
        """


class DestinationSettings(Section):
    """What the section of every kind has: how patient the node is with it. A kind adds its ``type`` and its keys."""

    #: By the keys of a destination, the section of its kind; set where the kinds are known.
    kind_of: ClassVar[Callable[[Mapping[str, Any]], "type[DestinationSettings]"]]

    #: Whether what `open` gives is an `ImageCounter`, too.
    counts_images: ClassVar[bool] = False

    #: Whether it is an `ImageFetcher`.
    fetches_images: ClassVar[bool] = False

    #: Whether it is a `Committer`.
    commits: ClassVar[bool] = False

    #: Whether it is a `Carrier`; it then has a ``called_ae_title``.
    takes_moves: ClassVar[bool] = False

    #: Whether what goes there is copied out of the network of application entities (PS3.15 A.5.3.5).
    is_media: ClassVar[bool] = False

    type: str
    paused: bool = False
    verify: Literal["none", "find", "commitment"] = "none"
    """Before the delivery is done it is asked: ``find``, how many images it has of the series, where it counts images;
    ``commitment``, to keep every one of them, where it commits."""
    max_attempts: int = Field(default=230, ge=1)
    retry_seconds: PositiveSeconds = 10.0
    retry_max_seconds: PositiveSeconds = 3600.0

    @model_validator(mode="after")
    def _can_verify(self) -> Self:
        if self.verify != "none" and not self.counts_images:
            raise ValueError(f"a destination of type {self.type} cannot be asked what it has: verify must be none")
        if self.verify == "commitment" and not self.commits:
            raise ValueError(
                f"a destination of type {self.type} knows no storage commitment: verify must be none or find"
            )
        return self

    @property
    @abstractmethod
    def answer_seconds(self) -> float:
        """Longest that it may take from one answer to the next, and to the first; longer silence is a sender that hangs."""

    @abstractmethod
    def open(self, *, own_ae_title: str) -> Destination:
        """The destination. ``own_ae_title`` is the node's, for kinds that say who calls."""

    @property
    def at_once(self) -> int:
        """How many deliveries go there at the same time; one that hangs leaves the others theirs."""
        return 2

    @property
    def commitment_seconds(self) -> float:
        """How long it may take to say that it keeps what it was asked to, before it is asked anew."""
        return 0.0

    @property
    def called_back_at(self) -> str | None:
        """The AE title other than ``node.ae_title`` under which it calls the node back; None where it does not."""
        return None

    @property
    def called_ae_title(self) -> str:
        """The AE title that it is called by, for the audit trail and C-MOVE; empty where it has none."""
        return ""

    @property
    def place(self) -> str:
        """Its machine, likewise."""
        return ""

    def called_at(self, port: int) -> str | None:
        """The AE title that it calls on this very machine's ``port``, which may be a route of this node; else None."""
        return None
