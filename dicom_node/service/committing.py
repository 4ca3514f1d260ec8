"""How the step that answers senders' requests for storage commitment calls them."""

from functools import partial

from dicom_node.catalog import Catalog
from dicom_node.commitment import CommitmentReport
from dicom_node.config import SettingsSource
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.deliver.retry import backoff_seconds
from dicom_node.receive.answering import CommitmentStep, PeerPlace

_FIRST_SECONDS, _LONGEST_SECONDS = 10.0, 3600.0


def commitment_step(source: SettingsSource, catalog: Catalog) -> CommitmentStep:
    """The step, calling peers as destinations are called."""
    wait_seconds = partial(backoff_seconds, first_seconds=_FIRST_SECONDS, longest_seconds=_LONGEST_SECONDS)
    return CommitmentStep(source, catalog, tell=_tell, wait_seconds=wait_seconds)


def _tell(place: PeerPlace, report: CommitmentReport, calling_ae: str) -> None:
    from dicom_node.deliver.destinations.dicom.commitment import send_report

    peer = DicomSettings(ae_title=place.ae_title, host=place.host, port=place.port, tls=place.tls)
    send_report(peer, report, calling_ae=calling_ae)
