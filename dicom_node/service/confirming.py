"""The destination of ``series.confirm_with``, as the step that completes series asks it."""

from collections.abc import Callable, Collection
from typing import cast

from dicom_node.catalog import SeriesRow
from dicom_node.config import SettingsSource
from dicom_node.deliver.destinations import ImageCounter, ImageFetcher


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


def missing_images(source: SettingsSource) -> Callable[[SeriesRow, Collection[str]], int] | None:
    """A series and what is here of it to the number of images that the destination was asked to send; None where none is asked."""
    name = source.current.series.confirm_with
    if name is None:
        return None

    def fetch(series: SeriesRow, held: Collection[str]) -> int:
        settings = source.current
        # ``series.fetch_missing`` goes only with kinds that fetch.
        fetcher = cast(ImageFetcher, settings.destinations[name].open(own_ae_title=settings.node.ae_title))
        return fetcher.fetch_missing(
            move_to=series.route,
            study_instance_uid=series.study_instance_uid,
            series_instance_uid=series.series_instance_uid,
            held=held,
        )

    return fetch
