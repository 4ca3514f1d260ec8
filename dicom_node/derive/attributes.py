"""Attributes that every derived object shares, whatever its SOP class: who, when, where, how derived."""

import math
import re
import statistics
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000, UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from dicom_node.derive import keywords
from dicom_node.derive.equipment import contributing_equipment, set_own_equipment
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.mark import PlacedMark
from dicom_node.derive.marks import Mark
from dicom_node.derive.pixels import StoredScale
from dicom_node.derive.references import source_image
from dicom_node.derive.verbatim import copy_decimals, copy_verbatim, set_empty_if_absent, text_of

#: Defined terms of Lossy Image Compression Method for sources that are lossy but do not say so.
_LOSSY_METHODS = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
}

_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")


def image_type(source: Dataset) -> list[str]:
    """``DERIVED, SECONDARY`` and the source's value 3, AXIAL when it has none (C.7.6.1.1.2)."""
    values = text_of(source, "ImageType").split("\\")
    third = values[2].strip().upper() if len(values) > 2 else ""
    return ["DERIVED", "SECONDARY", third if _CODE_STRING.fullmatch(third) else "AXIAL"]


def complete_identity(target: Dataset, source: Dataset, *, frame_of_reference_uid: str) -> None:
    """Patient, study and the frame of reference, copied from the source in the source's character set.

    ``frame_of_reference_uid`` is for a source slice that has none.
    """
    copy_verbatim(source, target, ["SpecificCharacterSet"])
    copy_verbatim(source, target, [*keywords.PATIENT, *keywords.STUDY, *keywords.SERIES])
    target.FrameOfReferenceUID = text_of(source, "FrameOfReferenceUID") or frame_of_reference_uid
    set_empty_if_absent(target, keywords.TYPE_2)
    if text_of(source, "BodyPartExamined") in keywords.UNPAIRED_BODY_PARTS:
        copy_verbatim(source, target, ["BodyPartExamined"])
    else:  # perhaps one of a pair: Laterality is then type 2C, and which side is not known (C.7.3.1)
        set_empty_if_absent(target, ["Laterality"])


def complete_series(target: Dataset, source: Dataset, *, info: DerivationInfo) -> None:
    """General Series, Equipment and dates: ours, with the scanner among the contributing equipment."""
    target.Modality = "CT"
    target.SeriesDescription = info.description
    target.ContributingEquipmentSequence = contributing_equipment(source, info=info)
    set_own_equipment(target, info=info)
    moment = local_moment(source, info.created_at)
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    for prefix in ("Series", "Content", "InstanceCreation"):
        setattr(target, f"{prefix}Date", date)
        setattr(target, f"{prefix}Time", time)


def complete_derivation(
    target: Dataset, source: Dataset, *, info: DerivationInfo, kind: list[str], mark: PlacedMark | None
) -> None:
    """General Image and SOP Common: derived, synthetic, from which source slice, and nothing about a contrast agent."""
    target.ImageType = kind
    target.SyntheticData = "YES"  # PS3.3 C.12.1.1.16
    target.DerivationDescription = info.derivation(*_on_the_mark(info, mark))
    target.SourceImageSequence = [source_image(source)]
    target.ImageComments = info.comments if mark is None else f"{info.comments} {mark.warning}".rstrip()
    target.BurnedInAnnotation = "NO" if mark is None else "YES"
    complete_lossy_history(target, source)


def _on_the_mark(info: DerivationInfo, mark: PlacedMark | None) -> tuple[str, ...]:
    """What the Derivation Description says of the visible mark."""
    if mark is not None:
        return mark.place, mark.warning
    return () if info.mark is Mark.NONE else ("No visible mark: the matrix is too small for one.",)


def complete_lossy_history(target: Dataset, source: Dataset) -> None:
    """Once lossy, always lossy (C.7.6.1.1.5): copied, or told from the transfer syntax the source came in."""
    copy_verbatim(source, target, keywords.LOSSY)
    meta = getattr(source, "file_meta", None)
    syntax = UID(str(meta.get("TransferSyntaxUID", ""))) if meta is not None else UID("")
    if syntax in _LOSSY_METHODS and text_of(source, "LossyImageCompression") != "01":
        target.LossyImageCompression = "01"
        target.LossyImageCompressionMethod = _LOSSY_METHODS[syntax]


def complete_plane(target: Dataset, source: Dataset) -> None:
    """Image Plane (C.7.6.2) of one slice, as the source's own text."""
    copy_decimals(source, target, keywords.PLANE)
    set_empty_if_absent(target, ["SliceThickness"])
    target.PatientOrientation = patient_orientation(source)


def complete_grey_scale(
    target: Dataset, *, scale: StoredScale, info: DerivationInfo, window_hu: tuple[float, float]
) -> None:
    """Modality LUT (C.11.1) to HU, VOI LUT (C.11.2) for the phase, Pixel Padding (C.7.5.1.1.2)."""
    centre, width = window_hu
    target.RescaleIntercept = str(scale.intercept_hu)
    target.RescaleSlope = "1"
    target.RescaleType = "HU"  # viewers show HU for Secondary Capture only when this is there
    target.WindowCenter = f"{centre:g}"
    target.WindowWidth = f"{width:g}"
    target.WindowCenterWidthExplanation = info.window_explanation
    if scale.padding is not None:
        target.add_new("PixelPaddingValue", "US", scale.padding)


def complete_secondary_capture(target: Dataset, source: Dataset, *, info: DerivationInfo) -> None:
    """SC Equipment (C.8.6.1) and SC Image (C.8.6.2): a synthetic image, not a digitised one."""
    target.ConversionType = "SYN"
    target.SecondaryCaptureDeviceManufacturer = target.Manufacturer
    target.SecondaryCaptureDeviceManufacturerModelName = target.ManufacturerModelName
    target.SecondaryCaptureDeviceSoftwareVersions = list(target.SoftwareVersions)
    moment = local_moment(source, info.created_at)
    target.DateOfSecondaryCapture = moment.strftime("%Y%m%d")
    target.TimeOfSecondaryCapture = moment.strftime("%H%M%S")


def patient_orientation(source: Dataset) -> list[str]:
    """Patient Orientation (C.7.6.1.1.1) from the direction cosines: letters by falling size."""
    cosines = np.array([float(value) for value in source.ImageOrientationPatient]).reshape(2, 3)
    letters = (("R", "L"), ("A", "P"), ("F", "H"))  # LPS: negative, positive
    result = []
    for direction in cosines:
        order = np.argsort(-np.abs(direction), kind="stable")
        result.append("".join(letters[axis][int(direction[axis] > 0)] for axis in order if abs(direction[axis]) > 1e-3))
    return result


def series_number(source: Dataset, *, info: DerivationInfo) -> int:
    """The source's Series Number, 0 when it has none, plus the route's offset; at least 1."""
    return max(1, _integer(text_of(source, "SeriesNumber")) + info.series_number_offset)


def instance_number(source: Dataset, *, index: int) -> int:
    """The source slice's Instance Number, or its place in the series, counted from 1, when it has none."""
    return _integer(text_of(source, "InstanceNumber")) or index + 1


def source_window_hu(sources: Iterable[Dataset]) -> tuple[float, float] | None:
    """Window Center and Width (C.11.2.1.2) of a series: each slice's first values, the median where slices differ."""
    windows = []
    for source in sources:
        texts = [text_of(source, keyword).split("\\")[0] for keyword in ("WindowCenter", "WindowWidth")]
        try:
            centre, width = map(float, texts)
        except ValueError:
            continue
        if math.isfinite(centre) and math.isfinite(width) and width > 0:
            windows.append((centre, width))
    if not windows:
        return None
    return statistics.median(centre for centre, _ in windows), statistics.median(width for _, width in windows)


def local_moment(source: Dataset, moment: datetime) -> datetime:
    """``moment`` in the source's Timezone Offset From UTC (C.12.1.1.8), else in this machine's zone."""
    match = re.fullmatch(r"([+-])(\d\d)(\d\d)", text_of(source, "TimezoneOffsetFromUTC"))
    if match is None:
        return moment.astimezone()
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return moment.astimezone(timezone(-offset if match[1] == "-" else offset))


def _integer(text: str) -> int:
    whole = re.fullmatch(r"([+-]?\d{1,9})(\.0*)?", text)  # some write 3.0
    return int(whole[1]) if whole else 0
