"""What the node holds of its own derived series, for peers that ask (C-FIND of the Study Root, PS3.4 C.4.1)."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import structlog
from pydicom import Dataset, dcmread
from pydicom.datadict import keyword_for_tag

from dicom_node.catalog import Catalog, HeldDerived
from dicom_node.commitment import encoded
from dicom_node.receive.admission import Admission
from dicom_node.receive.gathered import Gathered
from dicom_node.receive.matching import matches
from dicom_node.streaming import Answer, Command, Sink, status

_log = structlog.get_logger(__name__)

_STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "ReferringPhysicianName",
)
_SERIES = (
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "SeriesDate",
    "SeriesTime",
    "Modality",
    "BodyPartExamined",
    "FrameOfReferenceUID",
)
_IMAGE = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber", "NumberOfFrames", "Rows", "Columns", "ImageType")
#: What is counted over a study or a series, instead of read.
_COUNTED = ("ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")
_COUNTED_OF_SERIES = "NumberOfSeriesRelatedInstances"
_READ = (*_STUDY, *_SERIES, *_IMAGE, "SpecificCharacterSet")
#: The keys that must be given, one value each (C.6.2.1).
_ABOVE = {"STUDY": (), "SERIES": ("StudyInstanceUID",), "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID")}
_KEYS = {
    "STUDY": (*_STUDY, *_COUNTED),
    "SERIES": (*_STUDY, *_SERIES, _COUNTED_OF_SERIES),
    "IMAGE": (*_STUDY, *_SERIES, *_IMAGE),
}
_NOT_KEYS = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC"})

#: Matches of one query, and headers that are kept in memory.
MOST_MATCHES, _MOST_KEPT = 1000, 4096
#: Pending; pending, and some optional keys are not supported (table C.4-1).
_PENDING, _PENDING_BUT_KEYS = 0xFF00, 0xFF01


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

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._one_at_a_time = threading.Lock()
        self._headers: dict[Path, Dataset] = {}

    def begin(self, command: Command, admission: Admission, *, transfer_syntax_uid: str) -> Sink | None:
        """Where the Identifier goes; None for what is no C-FIND."""
        if not command.is_find_request:
            return None
        return Gathered(self._find, self._one_at_a_time, admission, transfer_syntax_uid=transfer_syntax_uid)

    def _find(self, identifier: Dataset, admission: Admission, transfer_syntax_uid: str) -> Answer:
        if admission.known is None:
            return Answer(status.NOT_AUTHORISED, "only peers that node.peers lists may query")
        level = str(identifier.get("QueryRetrieveLevel", "") or "").strip()
        keys = Dataset()
        for element in identifier:
            if keyword_for_tag(element.tag) not in _NOT_KEYS:
                keys.add(element)
        if level not in _ABOVE or not all(_is_single(keys, name) for name in _ABOVE[level]):
            return Answer(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "level, or a unique key above it, is missing")
        query = _Query(level=level, keys=keys)
        found = list(islice(self._matches(query), MOST_MATCHES + 1))
        answered = [self._reply(query, one, transfer_syntax_uid) for one in found[:MOST_MATCHES]]
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
        study = str(query.keys.StudyInstanceUID) if _is_single(query.keys, "StudyInstanceUID") else None
        held = self._catalog.held_derived(study_instance_uid=study)
        held = [one for one in held if query.takes(_uids(one), "StudyInstanceUID")]
        for _, of_study in groupby(held, key=lambda one: one.study_instance_uid):
            if query.level == "STUDY":
                found = self._study(list(of_study))
                yield from [found] if found is not None and query.takes(found) else ()
                continue
            for one in of_study:
                if query.takes(_uids(one), "SeriesInstanceUID"):
                    yield from self._series(query, one)

    def _study(self, of_study: Sequence[HeldDerived]) -> Dataset | None:
        headers = [header for one in of_study if (header := self._header(one.first)) is not None]
        if not headers:
            return None
        found = _part(headers[0], _STUDY)
        found.ModalitiesInStudy = sorted({str(header.get("Modality", "")) for header in headers} - {""})
        found.NumberOfStudyRelatedSeries = len(of_study)
        found.NumberOfStudyRelatedInstances = sum(one.count for one in of_study)
        return found

    def _series(self, query: _Query, one: HeldDerived) -> Iterator[Dataset]:
        header = self._header(one.first)
        if header is None:
            return
        if query.level == "SERIES":
            found = _part(header, (*_STUDY, *_SERIES))
            found.NumberOfSeriesRelatedInstances = one.count
            if query.takes(found):
                yield found
            return
        for image in self._catalog.derived_instances(one.job_id):
            uid = Dataset()
            uid.SOPInstanceUID = image.sop_instance_uid
            if image.rejects_job is None and query.takes(uid, "SOPInstanceUID"):
                of_image = self._header(image.path)
                if of_image is not None and query.takes(found := _part(of_image, (*_STUDY, *_SERIES, *_IMAGE))):
                    yield found

    def _header(self, path: Path) -> Dataset | None:
        """A file's header; None where it is gone, as retention may have it at any time. Nobody writes to it again."""
        if path not in self._headers:
            try:
                header = dcmread(path, stop_before_pixels=True, specific_tags=list(_READ))
            except OSError:
                return None
            if len(self._headers) >= _MOST_KEPT:
                self._headers.clear()
            self._headers[path] = header
        return self._headers[path]

    def _reply(self, query: _Query, found: Dataset, transfer_syntax_uid: str) -> tuple[int, bytes]:
        """Status and Identifier of a match: the keys that were asked for."""
        reply, code = Dataset(), _PENDING
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
                code = _PENDING_BUT_KEYS
        return code, encoded(reply, transfer_syntax_uid=transfer_syntax_uid)


def _is_single(keys: Dataset, name: str) -> bool:
    value = keys.get(name)
    return isinstance(value, str) and bool(value) and "*" not in value and "?" not in value


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
