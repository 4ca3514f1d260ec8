"""What the node holds of its own derived series, for peers that ask (C-FIND, PS3.4 C.4.1)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice

import structlog
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag

from dicom_node.catalog import HeldDerived
from dicom_node.commitment import encoded
from dicom_node.receive.access_record import AccessRecord
from dicom_node.receive.admission import Admission
from dicom_node.receive.gathered import Gathered
from dicom_node.receive.holdings import IMAGE, PATIENT, SERIES, STUDY, Holdings
from dicom_node.receive.information_model import InformationModel, is_single, model_for
from dicom_node.receive.matching import matches
from dicom_node.streaming import Answer, Command, Sink, status

_log = structlog.get_logger(__name__)

#: What is counted over a patient, a study or a series, instead of read.
_COUNTED_OF_PATIENT = (
    "NumberOfPatientRelatedStudies",
    "NumberOfPatientRelatedSeries",
    "NumberOfPatientRelatedInstances",
)
_COUNTED = ("ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")
_COUNTED_OF_SERIES = "NumberOfSeriesRelatedInstances"
_KEYS = {
    "PATIENT": (*PATIENT, *_COUNTED_OF_PATIENT),
    "STUDY": (*STUDY, *_COUNTED),
    "SERIES": (*STUDY, *SERIES, _COUNTED_OF_SERIES),
    "IMAGE": (*STUDY, *SERIES, *IMAGE),
}
_NOT_KEYS = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC"})

#: Matches of one query.
MOST_MATCHES = 1000


@dataclass(frozen=True, kw_only=True)
class _Query:
    level: str
    keys: Dataset

    def takes(self, found: Dataset, *names: str) -> bool:
        """Whether ``found`` has what is asked for by the keys ``names``; default: by all that its level knows."""
        names = names or _KEYS[self.level]
        return all(matches(key, found.get(key.tag, None)) for key in self.keys if keyword_for_tag(key.tag) in names)


class QueryDesk:
    """Answers queries of peers that ``node.peers`` lists: what it says is of patients. For use from several threads."""

    def __init__(self, holdings: Holdings, record: AccessRecord) -> None:
        self._holdings, self._record = holdings, record

    def begin(self, command: Command, admission: Admission, *, transfer_syntax_uid: str) -> Sink | None:
        """Where the Identifier goes; None for what is no C-FIND."""
        model = model_for(command.sop_class_uid, "find") if command.is_find_request else None
        if model is None:
            return None
        take: Callable[[Dataset, Admission, str], Answer] = partial(self._find, model, command)
        return Gathered(take, self._holdings.one_at_a_time, admission, transfer_syntax_uid=transfer_syntax_uid)

    def _find(
        self,
        model: InformationModel,
        command: Command,
        identifier: Dataset,
        admission: Admission,
        transfer_syntax_uid: str,
    ) -> Answer:
        answer = self._answer(model, identifier, admission, transfer_syntax_uid)
        self._record.queried(
            admission,
            sop_class_uid=command.sop_class_uid,
            identifier=identifier,
            transfer_syntax_uid=transfer_syntax_uid,
            refused=answer.status == status.NOT_AUTHORISED,
        )
        return answer

    def _answer(
        self, model: InformationModel, identifier: Dataset, admission: Admission, transfer_syntax_uid: str
    ) -> Answer:
        if admission.known is None:
            return Answer(status.NOT_AUTHORISED, "only peers that node.peers lists may query")
        level = model.level_of(identifier)
        if level is None:
            return Answer(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "level, or a unique key above it, is missing")
        keys = Dataset()
        for element in identifier:
            if keyword_for_tag(element.tag) not in _NOT_KEYS:
                keys.add(element)
        query = _Query(level=level, keys=keys)
        found = list(islice(self._matches(query), MOST_MATCHES + 1))
        answered = [_reply(query, one, transfer_syntax_uid) for one in found[:MOST_MATCHES]]
        _log.info(
            "query_answered",
            calling_ae=admission.calling_ae,
            peer=admission.peer,
            asked_for=level,
            matches=len(answered),
        )
        if len(found) > MOST_MATCHES:
            return Answer(status.OUT_OF_RESOURCES, f"more than {MOST_MATCHES} match", matches=answered)
        return Answer(status.SUCCESS, matches=answered)

    def _matches(self, query: _Query) -> Iterator[Dataset]:
        study = str(query.keys.StudyInstanceUID) if is_single(query.keys, "StudyInstanceUID") else None
        held = self._holdings.series(study_instance_uid=None if query.level == "PATIENT" else study)
        if query.level == "PATIENT":
            yield from (found for found in self._patients(held) if query.takes(found))
            return
        held = [one for one in held if query.takes(_uids(one), "StudyInstanceUID")]
        for _, of_study in groupby(held, key=lambda one: one.study_instance_uid):
            if query.level == "STUDY":
                found = self._study(list(of_study))
                yield from [found] if found is not None and query.takes(found) else ()
                continue
            for one in of_study:
                if query.takes(_uids(one), "SeriesInstanceUID"):
                    yield from self._series(query, one)

    def _patients(self, held: Sequence[HeldDerived]) -> Iterator[Dataset]:
        """One for each Patient ID; series without one have no patient who could be asked for."""
        headers: dict[str, Dataset] = {}
        of_patient: dict[str, list[HeldDerived]] = {}
        for one in held:
            header = self._holdings.header(one.first)
            number = "" if header is None else str(header.get("PatientID", "") or "").strip()
            if header is not None and number:
                headers.setdefault(number, header)
                of_patient.setdefault(number, []).append(one)
        for number, series in of_patient.items():
            found = _part(headers[number], PATIENT)
            found.NumberOfPatientRelatedStudies = len({one.study_instance_uid for one in series})
            found.NumberOfPatientRelatedSeries = len(series)
            found.NumberOfPatientRelatedInstances = sum(one.count for one in series)
            yield found

    def _study(self, of_study: Sequence[HeldDerived]) -> Dataset | None:
        headers = [header for one in of_study if (header := self._holdings.header(one.first)) is not None]
        if not headers:
            return None
        found = _part(headers[0], STUDY)
        found.ModalitiesInStudy = sorted({str(header.get("Modality", "")) for header in headers} - {""})
        found.NumberOfStudyRelatedSeries = len(of_study)
        found.NumberOfStudyRelatedInstances = sum(one.count for one in of_study)
        return found

    def _series(self, query: _Query, one: HeldDerived) -> Iterator[Dataset]:
        header = self._holdings.header(one.first)
        if header is None:
            return
        if query.level == "SERIES":
            found = _part(header, (*STUDY, *SERIES))
            found.NumberOfSeriesRelatedInstances = one.count
            if query.takes(found):
                yield found
            return
        for image in self._holdings.images(one):
            uid = Dataset()
            uid.SOPInstanceUID = image.sop_instance_uid
            if query.takes(uid, "SOPInstanceUID"):
                of_image = self._holdings.header(image.path)
                if of_image is not None and query.takes(found := _part(of_image, (*STUDY, *SERIES, *IMAGE))):
                    yield found


def _reply(query: _Query, found: Dataset, transfer_syntax_uid: str) -> tuple[int, bytes]:
    """Status and Identifier of a match: the keys that were asked for."""
    reply, code = Dataset(), status.PENDING
    if "SpecificCharacterSet" in found:
        reply.SpecificCharacterSet = found.SpecificCharacterSet
    reply.QueryRetrieveLevel = query.level
    for key in query.keys:
        name = keyword_for_tag(key.tag)
        if name in found:
            reply.add(found[key.tag])
        elif name in _KEYS[query.level]:
            reply.add_new(key.tag, key.VR, None)
        else:
            code = status.PENDING_BUT_KEYS_NOT_SUPPORTED
    return code, encoded(reply, transfer_syntax_uid=transfer_syntax_uid)


def _uids(one: HeldDerived) -> Dataset:
    found = Dataset()
    found.StudyInstanceUID, found.SeriesInstanceUID = one.study_instance_uid, one.series_instance_uid
    return found


def _part(header: Dataset, names: Sequence[str]) -> Dataset:
    part = Dataset()
    for name in (*names, "SpecificCharacterSet"):
        if name in header:
            part.add(header[name])
    return part
