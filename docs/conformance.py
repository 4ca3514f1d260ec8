"""Write ``docs/conformance.md``, the DICOM conformance statement (PS3.2), with its tables read from the code."""

import sys
from collections.abc import Iterable
from pathlib import Path

from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, KeyObjectSelectionDocumentStorage
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from dicom_node import __version__
from dicom_node.config import NodeSettings, Peer
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.deliver.destinations.dicom.status import verdict
from dicom_node.derive import keywords
from dicom_node.derive.equipment import IMPLEMENTATION_VERSION_NAME
from dicom_node.derive.forms import DEFAULT_FORM, FORM_NAMES, output_form
from dicom_node.derive.uids import IMPLEMENTATION_CLASS_UID
from dicom_node.receive.query import MOST_MATCHES
from dicom_node.series.signals import SIGNALS
from dicom_node.streaming import status

_ONLY_AS_SCP = (
    StudyRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelMove,
    PatientRootQueryRetrieveInformationModelGet,
)

PAGE = Path(__file__).resolve().parent / "conformance.md"

_TEXT = """# DICOM conformance statement

S2LDM node {version}, after the template of PS3.2. Written from the code by `python docs/conformance.py`; do not edit
it.

## 1 Overview

The node receives CT images, synthesises a contrast-enhanced phase of each non-contrast series, and stores the result
as a derived series in the source's study. Each called AE title that is a route stands for one phase. It is for
research, and no medical device.

{services}

Media interchange: none. DICOMweb: as a user of STOW-RS (PS3.18 10.5), for destinations of the type `stow`.

## 2 Networking

### 2.1 Associations

| | |
|---|---|
| application context | 1.2.840.10008.3.1.1.1 |
| called AE titles | every route of the configuration; `node.ae_title`, for everything but storage |
| accepted at the same time | {max_associations} in all (`node.max_associations`); a peer's own limit by `node.peers` |
| opened at the same time | {associations} to each destination (`destinations.*.associations`) |
| asynchronous operations | one; not negotiated |
| maximum PDU | {max_pdu} bytes (`node.max_pdu_bytes`) |
| time-outs | association {acse} s, DIMSE {dimse} s, idle {idle} s, one object {object} s |
| Implementation Class UID, version name of derived files | {class_uid}, {version_name} |

Rejected: a called AE title that is no route (permanent, called AE title not recognised), a calling AE title or
address that is not on the list of peers (permanent, calling AE title not recognised), a route that is disabled or a
full node (transient).

### 2.2 Storage as SCP

Every storage SOP class that a peer proposes is accepted, standard, private or retired, in every transfer syntax that
it proposes, in the peer's order: what cannot be translated is refused later, with a reason that the administrator
sees, and not by a failed negotiation. An object is answered when its bytes and its row are on disk. The bytes stay as
they came. Storage level: 2 (full).

Translated are CT Image Storage and Enhanced CT Image Storage; [inputs.md](inputs.md) says which series, and
[completion.md](completion.md) when a series is complete ({signals}).

Statuses that are answered, by every service:

{statuses}

### 2.3 Storage as SCU

{forms}

Transfer syntax: that of the file, Explicit VR Little Endian, else Implicit VR Little Endian. Statuses: {accepted}
mean that the peer holds the object; {passing}, 0xA7xx, no answer and an association that cannot be had are tried
again; every other one is final.

### 2.4 Storage Commitment Push Model

- **SCU**, with `verify: commitment`: asks after the last image. N-EVENT-REPORT is taken on the same association and
  on a new one that the peer opens to the node, with role selection. What the peer does not commit is sent and asked
  for again; without an answer it is asked anew after {commitment:g} s.
- **SCP**: for instances that a peer sent. The report goes on the same association while that is open, else on a new one
  to the `port` of the peer's entry in `node.peers`. A request that names every image of a series that has come, and none
  that has not, says that the series is complete. **The node keeps what it received by `retention` alone: no sender may
  delete its own copy on the node's word.**

### 2.5 Query (C-FIND)

As SCU, of the Study Root at series level, with Study and Series Instance UID as unique keys and Number of Series Related
Instances (0020,1209) as return key: to count what a source (`series.confirm_with`) or a destination (`verify: find`) holds; at
image level, to learn what a source has and did not send (`series.fetch_missing`).

As SCP, for the node's own derived series and for peers of the list `node.peers` alone: Patient Root (patient, study, series,
image) and Study Root (study, series, image), at most {most_matches} matches; not relational.

### 2.6 Retrieve (C-MOVE, C-GET)

As SCP of the Patient Root and the Study Root, for the same series and peers, {max_retrievals} of a peer at the same time
(`max_retrievals` in `node.peers`); not relational. A list of UIDs may be given at the level that is asked for.

- **C-MOVE**: to the destinations of the configuration that are DICOM peers, by their AE title; to any other 0xA801. The C-STORE
  requests have Move Originator Application Entity Title and Message ID.
- **C-GET**: with role selection (PS3.7 D.3.3.4) for the SOP classes of derived objects, above. A context with Explicit VR
  Little Endian is preferred, the data set then goes byte by byte as it is on disk; else it is encoded as Implicit VR Little Endian.

A response is sent after sub-operations (0xFF00) with their numbers. The last one: 0x0000; 0xB000, some failed or had warnings; 0xA702,
none succeeded; 0xFE00 after C-CANCEL. It lists at most 1000 Failed SOP Instance UIDs. A sub-operation has a warning when the C-STORE was
answered 0xBxxx, 0x0107, 0x0111 or 0x0116. Refused: 0x0124, 0xA701 (more than 65535 images), 0xA702 (too many at the same time, or the
destination is paused), 0xA801, 0xA900 (level or unique keys).

As SCU of the Study Root at image level, with `series.fetch_missing`: C-MOVE of images that a source has and that did not come, to the
called AE title of their route.

### 2.7 Verification

As SCP on every called AE title; as SCU on request (`destinations check`, the console).

## 3 Character sets

Specific Character Set and every text of patient and study are copied byte for byte. The node's own texts are in the
default repertoire.

## 4 Security

TLS on a second port, and to destinations, by PS3.15 B.9 to B.12 (BCP 195), with or without certificates of the peers;
audit messages by PS3.15 A.5, to a file and to syslog: [operations.md](operations.md), [security.md](security.md).

## 5 Contents of derived objects

[derived-object.md](derived-object.md) says how each value comes about. Contrast/Bolus attributes are never written.
Synthetic Data (0008,001C) is `YES`, Image Type `DERIVED\\SECONDARY\\…`, Modality `CT`, Conversion Type `SYN`.

With `uncertainty: true` a route makes a second series of the same SOP class in the same study and frame of reference: the
standard deviation of the error of the first, in HU, with `UNCERTAINTY` as fourth value of Image Type and a Series Description
that begins with SYNTHETIC UNCERTAINTY. PS3.3 C.7.6.1.1.2 leaves the values beyond the third to the implementation; those that
C.8.2.1.1.1 has for the fourth value of CT Images are of multi-energy images, which this is none of.

`dciodvfy` (dicom3tools of 2022) finds nothing else than:

| what it says | of | why it stays |
| --- | --- | --- |
| (0008,001C) is no standard attribute | all | Synthetic Data came with the 2022 edition of the standard, which it does not know |
| plane, frame of reference, slice thickness not in the IOD | `sc` | Secondary Capture may carry them (PS3.3 A.8.1.3) |
| Laterality is empty | all | of a body part that may be one of a pair, where the source does not say which |
| Rescale Type `HU` is no defined term | `multiframe-sc` | viewers show HU only with it; defined terms may be extended |
| `UNCERTAINTY` is no defined term of Image Type | `ct` | it asks for those of multi-energy images; the other forms get no such message |

Copied from the source slice as they are:

{copied}

Series of an earlier run that are replaced, with their uncertainty or that alone, are rejected by a Key Object Selection document titled
(113001, DCM, "Rejected for Quality Reasons").
"""


def page() -> str:
    """The statement."""
    node, destination = NodeSettings(), DicomSettings(ae_title="PEER", host="peer", port=104)
    judged = {code: verdict(code).value for code in (0x0000, 0x0107, 0x0110, 0x0111, 0x0213, 0xB000, 0xB006, 0xB007)}
    return _TEXT.format(
        version=__version__,
        services=_services(),
        max_associations=node.max_associations,
        associations=destination.associations,
        max_pdu=node.max_pdu_bytes,
        acse=f"{node.acse_timeout_seconds:g}",
        dimse=f"{node.dimse_timeout_seconds:g}",
        idle=f"{node.idle_timeout_seconds:g}",
        object=f"{node.max_object_seconds:g}",
        class_uid=IMPLEMENTATION_CLASS_UID,
        version_name=IMPLEMENTATION_VERSION_NAME,
        signals=", ".join(f"`{signal.name}`" for signal in SIGNALS),
        statuses=_table(
            ("status", "meaning"),
            (
                (f"0x{code:04X}", name.lower().replace("_", " "))
                for name, code in sorted(vars(status).items(), key=_number)
                if name.isupper()
            ),
        ),
        forms=_table(
            ("output", "SOP class", "UID"),
            [
                (f"`{name}`" + (" (default)" if name == DEFAULT_FORM else ""), *_named(output_form(name).sop_class_uid))
                for name in FORM_NAMES
            ]
            + [("where an earlier series is replaced", *_named(KeyObjectSelectionDocumentStorage))],
        ),
        accepted=", ".join(f"0x{code:04X}" for code, one in judged.items() if one == "accepted"),
        passing=", ".join(f"0x{code:04X}" for code, one in judged.items() if one == "retriable"),
        commitment=destination.commitment_answer_seconds,
        most_matches=MOST_MATCHES,
        max_retrievals=Peer(ae_title="PEER").max_retrievals,
        copied=_table(
            ("module", "attributes"),
            (
                (module, ", ".join(map(_attribute, names)))
                for module, names in (
                    ("Patient, Clinical Trial Subject", keywords.PATIENT),
                    ("General Study, Patient Study, Clinical Trial Study", keywords.STUDY),
                    ("General Series, Frame of Reference, SOP Common", (*keywords.SERIES, "FrameOfReferenceUID")),
                    ("Image Plane", keywords.PLANE),
                    ("lossy history of General Image", keywords.LOSSY),
                )
            ),
        ),
    )


def _services() -> str:
    plain = ", ".join(UID(one).name for one in (ExplicitVRLittleEndian, ImplicitVRLittleEndian))
    rows = [
        ("every storage SOP class, as proposed", "", "SCP", "every one, as proposed"),
        *((*_named(output_form(name).sop_class_uid), "SCU", plain) for name in FORM_NAMES),
        (*_named(KeyObjectSelectionDocumentStorage), "SCU", plain),
        (*_named(StorageCommitmentPushModel), "SCU, SCP", plain),
        (*_named(StudyRootQueryRetrieveInformationModelFind), "SCU, SCP", plain),
        (*_named(StudyRootQueryRetrieveInformationModelMove), "SCU, SCP", plain),
        *((*_named(one), "SCP", plain) for one in _ONLY_AS_SCP),
        (*_named(Verification), "SCU, SCP", plain),
    ]
    return _table(("SOP class", "UID", "role", "transfer syntaxes"), rows)


def _number(item: tuple[str, object]) -> int:
    return item[1] if isinstance(item[1], int) else -1


def _named(uid: UID) -> tuple[str, str]:
    return UID(uid).name, str(uid)


def _attribute(keyword: str) -> str:
    tag = Tag(tag_for_keyword(keyword) or 0)
    return f"{dictionary_description(tag)} {tag}".replace(", ", ",")


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
