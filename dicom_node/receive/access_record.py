"""What the audit trail says of peers that ask for derived series and get them (PS3.15 A.5.3.3, A.5.3.7, A.5.3.10)."""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag

from dicom_node.audit.events import Way, queried, retrieved
from dicom_node.audit.messages import MINOR_FAILURE, SERIOUS_FAILURE, SUCCESS, Outcome, Query, Study
from dicom_node.audit.trail import AuditTrail
from dicom_node.commitment import encoded
from dicom_node.receive.admission import Admission

#: A query that is longer is told of by its level alone.
_MOST_QUERY_BYTES = 32 * 1024


class AccessRecord:
    """Writes to the trail from a listener. For use from several threads."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    def queried(
        self,
        admission: Admission,
        *,
        sop_class_uid: str,
        identifier: Dataset,
        transfer_syntax_uid: str,
        refused: bool,
    ) -> None:
        """A peer has asked what there is."""
        asked = encoded(without_names(identifier), transfer_syntax_uid=transfer_syntax_uid)
        if len(asked) > _MOST_QUERY_BYTES:
            short = Dataset()
            short.QueryRetrieveLevel = identifier.get("QueryRetrieveLevel")
            asked = encoded(short, transfer_syntax_uid=transfer_syntax_uid)
        self._trail.record(
            queried(
                self._trail.node,
                calling_ae=admission.calling_ae,
                address=admission.peer,
                query=Query(sop_class_uid=sop_class_uid, data_set=asked, transfer_syntax_uid=transfer_syntax_uid),
                at=self._trail.now(),
                refused=refused,
            )
        )

    def began(self, admission: Admission, way: Way, studies: Sequence[Study]) -> None:
        """Instances of ``studies`` begin to go to a peer."""
        for study in studies:
            self._transfer(admission, way, study, begins=True, outcome=SUCCESS)

    def ended(self, admission: Admission, way: Way, asked: Sequence[Study], gone: Sequence[Study]) -> None:
        """Of what was ``asked`` for so much has ``gone`` there, study by study."""
        for wanted, study in zip(asked, gone, strict=True):
            some = sum(study.sop_classes.values())
            outcome = SUCCESS if study == wanted else MINOR_FAILURE if some else SERIOUS_FAILURE
            self._transfer(admission, way, study, begins=False, outcome=outcome)

    def _transfer(self, admission: Admission, way: Way, study: Study, *, begins: bool, outcome: Outcome) -> None:
        self._trail.record(
            retrieved(
                self._trail.node,
                way=way,
                calling_ae=admission.calling_ae,
                address=admission.peer,
                study=study,
                at=self._trail.now(),
                begins=begins,
                outcome=outcome,
            )
        )


def without_names(identifier: Dataset) -> Dataset:
    """The keys of a query, with what tells of a person blanked but for the Patient ID, and of sequences only that they were there."""
    kept = Dataset()
    for element in identifier:
        name = keyword_for_tag(element.tag)
        of_person = element.VR == "PN" or (name.startswith("Patient") and name != "PatientID")
        if of_person or element.VR == "SQ":
            kept.add_new(element.tag, element.VR, None)
        else:
            kept.add(element)
    return kept
