"""Deterministic UIDs: the same source, route and model give the same derived objects, other content gives others.

UIDs are of the 2.25 root, the decimal form of a UUID (PS3.5 B.2). The UUID is of version 8 (RFC 9562 5.8): 122 bits of
a SHA-256 over what identifies the object.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable

from pydicom.uid import UID

from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.marks import Mark

#: Names this program as the writer of a file (0002,0012); a constant UID of our own (PS3.7 D.3.3.2).
IMPLEMENTATION_CLASS_UID = UID("2.25.124553983964474886355871605055365597772")

_VERSION_8 = 0x8
_VARIANT_RFC = 0b10


def uid_from(*parts: str | int) -> UID:
    """The UID that stands for ``parts``; unambiguous, as parts are framed before hashing."""
    digest = hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode("ascii")).digest()
    value = int.from_bytes(digest[:16], "big")
    value = (value & ~(0xF << 76)) | (_VERSION_8 << 76)
    value = (value & ~(0b11 << 62)) | (_VARIANT_RFC << 62)
    return UID(f"2.25.{uuid.UUID(int=value).int}")


def series_instance_uid(sources: Iterable[tuple[str, str]], *, info: DerivationInfo) -> UID:
    """Series Instance UID of a derived series.

    Parameters
    ----------
    sources
        (SOP Instance UID, content digest) of every source slice, in any order.
    info
        Route, model, phase (of a time what it is put together of), contrast dose, seed, steps, output form and visible mark
        take part, all that pixels depend on; date, texts, window and series number do not.
    """
    made = info.translation
    digest = hashlib.sha256()
    for sop_instance_uid, content_digest in sorted(sources):
        digest.update(json.dumps([sop_instance_uid, content_digest]).encode("ascii"))
    return uid_from(
        "series",
        digest.hexdigest(),
        info.route,
        made.phase,
        made.model_name,
        made.model_version,
        made.weights_sha256,
        made.seed,
        made.steps,
        info.output,
        *(f"{share:g} {phase}" for phase, share in sorted(made.shares.items())),
        *([] if made.contrast_dose == 1.0 else [f"contrast dose {made.contrast_dose:g}"]),
        *([] if info.mark is Mark.NONE else [f"mark {info.mark}"]),
    )


def uncertainty_series_instance_uid(derived_series_instance_uid: str, weights_sha256: str) -> UID:
    """Series Instance UID of the uncertainty of a derived series, as the network of these weights tells it."""
    return uid_from("uncertainty-series", derived_series_instance_uid, weights_sha256)


def sop_instance_uid(derived_series_instance_uid: str, source_sop_instance_uid: str) -> UID:
    """SOP Instance UID of the derived slice that stands on one source slice."""
    return uid_from("instance", derived_series_instance_uid, source_sop_instance_uid)


def rejection_series_instance_uid(derived_series_instance_uid: str) -> UID:
    """Series Instance UID of the notes that go with a derived series."""
    return uid_from("rejection-series", derived_series_instance_uid)


def rejection_sop_instance_uid(derived_series_instance_uid: str, *rejected_series_instance_uids: str) -> UID:
    """SOP Instance UID of the note by which one derived series rejects others."""
    return uid_from("rejection", derived_series_instance_uid, *rejected_series_instance_uids)


def frame_of_reference_uid(source_series_instance_uid: str) -> UID:
    """Frame of Reference UID for a source series that has none, so that all its derived series still share one."""
    return uid_from("frame-of-reference", source_series_instance_uid)
