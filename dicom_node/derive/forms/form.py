"""What every output form offers, and what it is given to write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.catalog import DerivedInstance
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.mark import PlacedMark
from dicom_node.derive.pixels import StoredScale, to_stored


@dataclass(frozen=True, kw_only=True)
class SyntheticSeries:
    """A derived series before it is encoded.

    Attributes
    ----------
    headers
        Of the source slices; ``headers[k]`` is of ``hu[k]``.
    hu
        ``(D, H, W)`` synthetic HU, or their uncertainty in HU; may be a memory map.
    padding
        ``(D, H, W)`` bool, true where the source has padding.
    scale
        From HU to stored values, the same for the whole series.
    image_type
        Image Type (0008,0008), the same for the whole series.
    window_hu
        Window (centre, width) in HU, the same for the whole series.
    frame_of_reference_uid
        For source slices that have none.
    mark
        Drawn into every slice; None for none.
    """

    headers: Sequence[Dataset]
    hu: np.ndarray
    padding: np.ndarray | None
    scale: StoredScale
    info: DerivationInfo
    image_type: list[str]
    series_instance_uid: str
    frame_of_reference_uid: str
    window_hu: tuple[float, float]
    mark: PlacedMark | None = None

    def stored(self, index: int) -> np.ndarray:
        """``(H, W)`` stored values of one slice, little-endian uint16."""
        mask = None if self.padding is None else self.padding[index]
        stored = to_stored(self.hu[index], scale=self.scale, padding=mask).astype("<u2", copy=False)
        if self.mark is not None:
            self.mark.draw(stored, scale=self.scale)
        return stored


class OutputForm(Protocol):
    """One way to encode a derived series."""

    @property
    def name(self) -> str:
        """What a route's ``output`` calls it."""

    @property
    def sop_class_uid(self) -> UID:
        """SOP class of its instances, which a destination must take."""

    def write(
        self, series: SyntheticSeries, folder: Path, *, progress: Callable[[float], None]
    ) -> list[DerivedInstance]:
        """Write the instances as files into ``folder``, each in full or not at all.

        ``progress`` is called with the fraction done, 0 to 1, after each slice.

        Raises
        ------
        DeriveError
            The form cannot hold the series.
        """
