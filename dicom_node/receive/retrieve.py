"""Derived series for peers that pull them: C-GET and C-MOVE (PS3.4 C.4.2, C.4.3)."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog
from pydicom import Dataset

from dicom_node.audit.events import Way
from dicom_node.audit.messages import Study
from dicom_node.catalog import DerivedInstance, HeldDerived
from dicom_node.config import Peer, Settings, SettingsSource
from dicom_node.receive.access_record import AccessRecord
from dicom_node.receive.admission import Admission
from dicom_node.receive.gathered import Gathered
from dicom_node.receive.holdings import Holdings
from dicom_node.receive.information_model import UNIQUE_KEYS, InformationModel, model_for
from dicom_node.receive.seats import party
from dicom_node.receive.suboperations import Ended, Get, Move
from dicom_node.receive.tally import Tally
from dicom_node.streaming import Answer, Command, Occupancy, Progress, Retrieval, Sink, status
from dicom_node.streaming.places import Places
from dicom_node.streaming.shared_places import SharedPlaces

_log = structlog.get_logger(__name__)

#: What the number of sub-operations can say (US).
_MOST_SUB_OPERATIONS = 65535


class Carry(Protocol):
    """Sends files to a destination of the configuration, in the name of who asked (AE title and Message ID)."""

    def __call__(
        self,
        settings: Settings,
        name: str,
        files: Sequence[Path],
        *,
        originator: tuple[str, int],
        on_answer: Callable[[str, int | None], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """See `dicom_node.receive.suboperations.Send`."""


class _Found:
    """The images that a request names, by series, and whose they are."""

    def __init__(self) -> None:
        self.series: list[tuple[HeldDerived, list[DerivedInstance]]] = []
        self.patient_ids: dict[str, str] = {}

    @property
    def images(self) -> list[DerivedInstance]:
        return [one for _, images in self.series for one in images]

    def studies(self, stored: frozenset[str] | None = None) -> list[Study]:
        """What the audit trail says of them: of all, or of those with these SOP Instance UIDs."""
        counts: dict[str, Counter[str]] = {}
        for held, images in self.series:
            of_study = counts.setdefault(held.study_instance_uid, Counter())
            of_study.update(one.sop_class_uid for one in images if stored is None or one.sop_instance_uid in stored)
        return [
            Study(uid=uid, sop_classes=+of_study, patient_id=self.patient_ids[uid] or None)
            for uid, of_study in counts.items()
        ]


class RetrieveDesk:
    """Serves the peers that may query, ``max_retrievals`` of each at the same time. For use from several threads.

    Parameters
    ----------
    carry
        Sends to a destination; None: nothing is moved anywhere.
    places
        One for each retrieval that runs.
    """

    def __init__(
        self,
        settings: SettingsSource,
        holdings: Holdings,
        record: AccessRecord,
        *,
        carry: Carry | None,
        places: Places | SharedPlaces,
    ) -> None:
        self._source, self._holdings, self._record, self._carry = settings, holdings, record, carry
        self._places = places

    def begin(self, command: Command, admission: Admission, *, transfer_syntax_uid: str) -> Sink | None:
        """Where the Identifier goes; None for what is no C-GET and no C-MOVE."""
        if command.is_get_request:
            model = model_for(command.sop_class_uid, "get")
        elif command.is_move_request:
            model = model_for(command.sop_class_uid, "move")
        else:
            return None
        if model is None:
            return None
        take: Callable[[Dataset, Admission, str], Answer] = partial(self._retrieve, model, command)
        return Gathered(take, self._holdings.one_at_a_time, admission, transfer_syntax_uid=transfer_syntax_uid)

    def _retrieve(
        self,
        model: InformationModel,
        command: Command,
        identifier: Dataset,
        admission: Admission,
        transfer_syntax_uid: str,
    ) -> Answer:
        if admission.known is None or not admission.known.max_retrievals:
            return Answer(status.NOT_AUTHORISED, "only peers that node.peers lets may retrieve")
        level = model.level_of(identifier)
        if level is None or not _values(identifier, UNIQUE_KEYS[level]):
            return Answer(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "level, or a unique key, is missing")
        settings = self._source.current
        name = None
        if command.is_move_request:
            name = _destination(settings, command.move_destination)
            if name is None or self._carry is None:
                return Answer(status.MOVE_DESTINATION_UNKNOWN, "no destination of that AE title")
            if settings.destinations[name].paused:
                return Answer(status.UNABLE_TO_PERFORM_SUB_OPERATIONS, "the destination is paused")
        found = self._find(model, level, identifier)
        if len(found.images) > _MOST_SUB_OPERATIONS:
            return Answer(status.UNABLE_TO_CALCULATE_MATCHES, "more than one retrieval can count")
        place = object()
        if not self._enter(admission.known, place):
            return Answer(status.UNABLE_TO_PERFORM_SUB_OPERATIONS, "as many retrievals of this peer run as may")
        return Answer(
            status.SUCCESS,
            retrieval=self._begin(command, admission, settings, name, found, transfer_syntax_uid, place),
        )

    def _begin(
        self,
        command: Command,
        admission: Admission,
        settings: Settings,
        name: str | None,
        found: _Found,
        transfer_syntax_uid: str,
        place: object,
    ) -> Retrieval:
        tally = Tally((one.sop_instance_uid for one in found.images), transfer_syntax_uid=transfer_syntax_uid)
        destination = None if name is None else settings.destinations[name]
        way = (
            Way(ae_title=admission.calling_ae, address=admission.peer)
            if destination is None
            else Way(ae_title=destination.called_ae_title, address=destination.place)
        )
        self._record.began(admission, way, found.studies())
        on_end = _once(partial(self._ended, command, admission, way, found, place))
        if name is None or self._carry is None:
            return Get(found.images, tally, on_end=on_end)
        send = partial(self._carry, settings, name, originator=(admission.calling_ae, command.message_id))
        return Move([images for _, images in found.series], tally, send, on_end=on_end)

    def _find(self, model: InformationModel, level: str, identifier: Dataset) -> _Found:
        """Of what is held, what the unique keys name; lists of UIDs are taken at the level that is asked for (C.4.2.2.1)."""
        wanted = {one: _values(identifier, UNIQUE_KEYS[one]) for one in model.levels[: model.levels.index(level) + 1]}
        found = _Found()
        for held in self._held(wanted.get("STUDY")):
            if "SERIES" in wanted and held.series_instance_uid not in wanted["SERIES"]:
                continue
            header = self._holdings.header(held.first)
            patient_id = "" if header is None else str(header.get("PatientID", "") or "").strip()
            if "PATIENT" in wanted and patient_id not in wanted["PATIENT"]:
                continue
            images = [
                one
                for one in self._holdings.images(held)
                if "IMAGE" not in wanted or one.sop_instance_uid in wanted["IMAGE"]
            ]
            if images:
                found.series.append((held, images))
                if patient_id or held.study_instance_uid not in found.patient_ids:
                    found.patient_ids[held.study_instance_uid] = patient_id
        return found

    def _held(self, studies: frozenset[str] | None) -> list[HeldDerived]:
        """One question to the catalog, however many studies are named."""
        only = next(iter(studies)) if studies is not None and len(studies) == 1 else None
        held = self._holdings.series(study_instance_uid=only)
        return [one for one in held if studies is None or one.study_instance_uid in studies]

    def _enter(self, peer: Peer, place: object) -> bool:
        def object_to(occupancy: Occupancy) -> str | None:
            full = occupancy.left < 1 or occupancy.of(party(peer)) >= peer.max_retrievals
            return "as many run as may" if full else None

        return self._places.take(place, party(peer), object_to=object_to) is None

    def _ended(
        self,
        command: Command,
        admission: Admission,
        way: Way,
        found: _Found,
        place: object,
        stored: frozenset[str],
        last: Progress | None,
    ) -> None:
        self._places.give(place)
        self._record.ended(admission, way, found.studies(), found.studies(stored))
        _log.info(
            "retrieval_ended",
            calling_ae=admission.calling_ae,
            peer=admission.peer,
            by="C-MOVE" if command.is_move_request else "C-GET",
            to=way.ae_title,
            asked_for=len(found.images),
            stored=len(stored),
            status="association over" if last is None else f"0x{last.status:04X}",
        )


def _destination(settings: Settings, ae_title: str) -> str | None:
    """The name of the first destination of that AE title that objects can be moved to."""
    return next(
        (
            name
            for name, one in settings.destinations.items()
            if one.takes_moves and ae_title and one.called_ae_title == ae_title
        ),
        None,
    )


def _values(identifier: Dataset, name: str) -> frozenset[str]:
    value = identifier.get(name)
    several = [value] if isinstance(value, str) else list(value or ())
    values = frozenset(text for one in several if (text := str(one).strip(" \0")))
    return frozenset() if any(sign in one for one in values for sign in "*?") else values


def _once(ended: Ended) -> Ended:
    """An association may end while the last response is on its way."""
    first = threading.Lock()

    def end(stored: frozenset[str], last: Progress | None) -> None:
        if first.acquire(blocking=False):
            ended(stored, last)

    return end
