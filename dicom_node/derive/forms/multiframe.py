"""``multiframe-sc``: Multi-frame Grayscale Word Secondary Capture Image Storage (PS3.3 A.8.4), one instance per series."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import MultiFrameGrayscaleWordSecondaryCaptureImageStorage

from dicom_node.catalog import DerivedInstance
from dicom_node.derive import attributes
from dicom_node.derive.files import write_part10
from dicom_node.derive.forms.form import SyntheticSeries
from dicom_node.derive.forms.image import derived_image
from dicom_node.derive.references import source_image
from dicom_node.derive.verbatim import copy_decimals
from dicom_node.errors import DeriveError

_SLICE_LOCATION_VECTOR = 0x00182005
#: An element of defined length holds less than 4 GiB (PS3.5 7.1.1).
_MAX_ELEMENT_BYTES = 2**32 - 2


class MultiframeSecondaryCapture:
    """The whole series as one instance with functional groups."""

    name = "multiframe-sc"
    sop_class_uid = MultiFrameGrayscaleWordSecondaryCaptureImageStorage

    def write(
        self, series: SyntheticSeries, folder: Path, *, progress: Callable[[float], None]
    ) -> list[DerivedInstance]:
        """See `dicom_node.derive.forms.form.OutputForm`.

        The pixels go through a temporary file in ``folder``, so that a long series needs no copy in memory.

        Raises
        ------
        DeriveError
            ``too_large_for_one_instance``.
        """
        if series.hu.size * 2 > _MAX_ELEMENT_BYTES:
            raise DeriveError(
                "too_large_for_one_instance",
                "The series has more than 4 GiB of pixels, too much for one multi-frame instance.",
                "Set the route's output to sc.",
            )
        frames = len(series.headers)
        with tempfile.TemporaryFile(dir=folder) as pixels:
            for index in range(frames):
                pixels.write(series.stored(index).tobytes())
                progress(0.5 * (index + 1) / frames)
            pixels.seek(0)
            image = derived_image(
                series,
                series.headers[0],
                sop_class_uid=self.sop_class_uid,
                stands_on="all",
                instance_number=1,
                pixels=pixels,
            )
            _complete(image, series)
            written = write_part10(image, folder / "00001.dcm")
        progress(1.0)
        return [written]


def _complete(image: Dataset, series: SyntheticSeries) -> None:
    """SC Equipment, Multi-frame, SC Multi-frame Image and Vector (C.8.6.3, C.8.6.4) and the functional groups."""
    first = series.headers[0]
    attributes.complete_secondary_capture(image, first, info=series.info)
    # At the root, in the order of the frames: a Derivation Image group per frame would need a derivation code, and
    # CID 7203 has none that fits.
    image.SourceImageSequence = [source_image(source) for source in series.headers]
    image.PatientOrientation = attributes.patient_orientation(first)
    image.PresentationLUTShape = "IDENTITY"  # C.8.6.3
    image.NumberOfFrames = len(series.headers)
    image.FrameIncrementPointer = Tag(_SLICE_LOCATION_VECTOR)  # C.7.6.6
    image.SliceLocationVector = [f"{_along_normal(source):.9g}"[:16] for source in series.headers]
    image.SharedFunctionalGroupsSequence = [_shared_groups(first)]
    image.PerFrameFunctionalGroupsSequence = [_frame_groups(source) for source in series.headers]


def _along_normal(source: Dataset) -> float:
    """Position of a slice along its normal, in mm."""
    row, column = np.array([float(value) for value in source.ImageOrientationPatient]).reshape(2, 3)
    return float(np.dot(np.cross(row, column), [float(value) for value in source.ImagePositionPatient]))


def _shared_groups(source: Dataset) -> Dataset:
    """Pixel Measures (C.7.6.16.2.1) and Plane Orientation (C.7.6.16.2.4), the same for every frame."""
    measures = Dataset()
    copy_decimals(source, measures, ["PixelSpacing", "SliceThickness", "SpacingBetweenSlices"])
    orientation = Dataset()
    copy_decimals(source, orientation, ["ImageOrientationPatient"])
    groups = Dataset()
    groups.PixelMeasuresSequence = [measures]
    groups.PlaneOrientationSequence = [orientation]
    return groups


def _frame_groups(source: Dataset) -> Dataset:
    """Plane Position (C.7.6.16.2.3) of one frame."""
    position = Dataset()
    copy_decimals(source, position, ["ImagePositionPatient"])
    groups = Dataset()
    groups.PlanePositionSequence = [position]
    return groups
