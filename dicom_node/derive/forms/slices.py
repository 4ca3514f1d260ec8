"""Forms with one instance for each source slice."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.catalog import DerivedInstance
from dicom_node.derive import attributes
from dicom_node.derive.files import write_part10
from dicom_node.derive.forms.form import SyntheticSeries
from dicom_node.derive.forms.image import derived_image
from dicom_node.derive.info import DerivationInfo
from s2ldm_core.io.frames import slice_uid


class SliceForm(ABC):
    """Writes slice by slice; what its SOP class asks for beyond the common attributes is added by `complete`."""

    name: str
    sop_class_uid: UID

    @abstractmethod
    def complete(self, image: Dataset, source: Dataset, *, info: DerivationInfo) -> None:
        """Add to one instance what is this form's own."""

    def write(
        self, series: SyntheticSeries, folder: Path, *, progress: Callable[[float], None]
    ) -> list[DerivedInstance]:
        """See `dicom_node.derive.forms.form.OutputForm`; one slice is in memory at a time."""
        written = []
        for index, source in enumerate(series.headers):
            image = derived_image(
                series,
                source,
                sop_class_uid=self.sop_class_uid,
                stands_on=slice_uid(source),
                instance_number=attributes.instance_number(source, index=index),
                pixels=series.stored(index).tobytes(),
            )
            attributes.complete_plane(image, source)
            self.complete(image, source, info=series.info)
            written.append(write_part10(image, folder / f"{index + 1:05d}.dcm"))
            progress((index + 1) / len(series.headers))
        return written
