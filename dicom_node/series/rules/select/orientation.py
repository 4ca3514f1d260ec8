"""The slices lie as the route selects: axial, coronal or sagittal."""

import numpy as np
from pydicom import Dataset

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from dicom_node.series.rules.select.values import select_by
from s2ldm_core.io.header import texts

#: By the axis of the patient (left, posterior, head) that the normal of the slices is nearest to (PS3.3 C.7.6.2.1.1).
_PLANES = ("sagittal", "coronal", "axial")


class SelectedOrientation:
    """Refuses a series with a slice in another plane than the route's ``select.orientation``; oblique ones are the nearest."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        wanted = series.route.select.orientation
        return select_by(
            [plane_of(header) for header in series.slice_headers],
            lambda plane: not wanted or plane in wanted,
            asked=bool(wanted),
            criterion="orientation",
            title="orientation",
            say=str,
        )


def plane_of(header: Dataset) -> str:
    """The plane that a slice is nearest to; empty where its orientation is not stated or makes no sense."""
    try:
        cosines = np.array(texts(header, "ImageOrientationPatient"), dtype=np.float64)
    except ValueError:
        return ""
    if cosines.shape != (6,) or not np.isfinite(cosines).all():
        return ""
    normal = np.abs(np.cross(cosines[:3], cosines[3:]))
    return _PLANES[int(np.argmax(normal))] if normal.any() else ""
