"""The destination of ``series.confirm_with``, as the step that completes series asks it."""

from collections.abc import Callable
from typing import cast

from dicom_node.config import SettingsSource
from dicom_node.deliver.destinations import ImageCounter


def image_count(source: SettingsSource) -> Callable[[str, str], int] | None:
    """Study and Series Instance UID to the destination's number of images; None where none is to be asked."""
    name = source.current.series.confirm_with
    if name is None:
        return None

    def count(study_instance_uid: str, series_instance_uid: str) -> int:
        settings = source.current
        destination = settings.destinations[name]
        # The configuration takes only kinds that count.
        counter = cast(ImageCounter, destination.open(own_ae_title=settings.node.ae_title))
        return counter.count_images(study_instance_uid=study_instance_uid, series_instance_uid=series_instance_uid)

    return count
