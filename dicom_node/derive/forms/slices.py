"""Forms with one instance for each source slice."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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

#: Slices on their way to disk at the same time; more bring nothing, as one processor makes them.
_WRITERS = 4


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
        """See `dicom_node.derive.forms.form.OutputForm`; a few slices are in memory at a time.

        While the disk takes some, the next are made.
        """
        count = len(series.headers)
        # Alone: with it highdicom reads its tables of the standard, 100 MiB for a moment, which each thread would.
        written = [self._write_slice(series, folder, 0)]
        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="derive") as writers:
            for one in writers.map(partial(self._write_slice, series, folder), range(1, count)):
                written.append(one)
                progress(len(written) / count)
        return written

    def _write_slice(self, series: SyntheticSeries, folder: Path, index: int) -> DerivedInstance:
        source = series.headers[index]
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
        return write_part10(image, folder / f"{index + 1:05d}.dcm")
