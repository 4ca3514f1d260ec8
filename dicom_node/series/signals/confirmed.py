"""``confirmed``: another archive says that the series has as many images as have come."""

from dicom_node.catalog import Evidence
from dicom_node.config import SeriesSettings


class Confirmed:
    """The count of ``confirm_with`` has been right, and nothing has come, for ``confirmed_seconds``.

    An archive that is itself being sent the series, and hands it on meanwhile, may count no more than has come. A stack
    with a gap gives that away, so that the other signals decide.
    """

    name = "confirmed"

    def holds(self, evidence: Evidence, settings: SeriesSettings) -> bool:
        """See `dicom_node.series.signals.Signal`."""
        right, seconds = evidence.counted_right_seconds, settings.confirmed_seconds
        return (
            right is not None and min(right, evidence.silent_seconds) >= seconds and evidence.stack not in (None, "gap")
        )
