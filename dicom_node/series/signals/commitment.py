"""``commitment``: the sender has asked whether all of the series is safe, as it does when it has sent it (PS3.4 annex J)."""

from dicom_node.catalog import Evidence
from dicom_node.config import SeriesSettings


class Commitment:
    """The sender's storage-commitment request names every image that has come and none that has not, and nothing came since.

    For ``confirmed_seconds``: a sender that asks after each part goes on at once. A stack with a gap shows that it will.
    """

    name = "commitment"

    def holds(self, evidence: Evidence, settings: SeriesSettings) -> bool:
        """See `dicom_node.series.signals.Signal`."""
        return (
            evidence.asked_to_commit
            and evidence.silent_seconds >= settings.confirmed_seconds
            and evidence.stack not in (None, "gap")
        )
