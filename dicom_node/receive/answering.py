"""Telling senders what is safe of what they asked about, on an association of the node's own (PS3.4 J.3.3)."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

import structlog

from dicom_node.catalog import Catalog, CommitmentRequestRow
from dicom_node.commitment import CommitmentReport
from dicom_node.config import Peer, SettingsSource
from dicom_node.errors import ReceiveError, RetriableDeliverError
from dicom_node.receive.admission import is_peer
from dicom_node.receive.safekeeping import report_on
from dicom_node.tls import ClientTls
from s2ldm_core.problem import Problem, ProblemError

_log = structlog.get_logger(step="commit")

#: Then a sender is given up; with waits that double up to an hour that takes a day and a half.
MOST_ATTEMPTS = 44
_PATIENCE_SECONDS = 300.0


class PeerPlace(NamedTuple):
    """Where a sender takes reports, over TLS or (``tls`` None) in the clear."""

    ae_title: str
    host: str
    port: int
    tls: ClientTls | None = None


#: Tells a sender, from the AE title that it called; raises `ProblemError`, `RetriableDeliverError` for what may pass.
Tell = Callable[[PeerPlace, CommitmentReport, str], None]


class CommitmentStep:
    """Answers senders' requests for storage commitment, which stand in the catalog.

    Parameters
    ----------
    settings
        ``node.peers`` says where senders are called.
    tell
        Calls one.
    wait_seconds
        How long to wait after so many failed attempts.
    """

    def __init__(
        self, settings: SettingsSource, catalog: Catalog, *, tell: Tell, wait_seconds: Callable[[int], float]
    ) -> None:
        self._source, self._catalog = settings, catalog
        self._tell, self._wait_seconds = tell, wait_seconds

    def run_once(self) -> bool:
        """Answer one request; False if none was due. Failures are recorded, never raised."""
        request = self._catalog.claim_commitment_request()
        if request is None:
            return False
        with self._catalog.hold(request, patience_seconds=_PATIENCE_SECONDS):
            try:
                self._answer(request)
            except RetriableDeliverError as error:
                self._again(request, error.problem)
            except ProblemError as error:
                self._give_up(request, error.problem)
        return True

    def _answer(self, request: CommitmentRequestRow) -> None:
        peers = self._source.current.node.peers
        place = place_of_peer(peers, calling_ae=request.calling_ae, address=request.peer)
        if place is None:
            raise ReceiveError(
                "commitment_peer_unknown",
                f"{request.calling_ae} at {request.peer} asked for storage commitment and did not take the answer on its own "
                "association; the node knows no port of it.",
                "Name its AE title, host and port under node.peers, and let it ask again.",
            )
        # Looked at now: it is the answer of the moment at which it is given.
        wanted = self._catalog.requested_instances(request.id)
        report = report_on(self._catalog, request.transaction_uid, wanted)
        self._tell(place, report, request.called_ae)
        self._catalog.finish_commitment_request(request.id)
        _log.info("commitment_reported", **counts(report))

    def _again(self, request: CommitmentRequestRow, problem: Problem) -> None:
        attempts = request.attempts + 1
        if attempts >= MOST_ATTEMPTS:
            self._give_up(request, problem)
            return
        at = self._catalog.now() + timedelta(seconds=self._wait_seconds(attempts))
        _log.warning("commitment_report_postponed", code=problem.code, attempts=attempts, **_who(request))
        self._catalog.retry_commitment_request(request.id, at=at, reason=problem)

    def _give_up(self, request: CommitmentRequestRow, problem: Problem) -> None:
        _log.error("commitment_not_reported", code=problem.code, why=problem.sentence, **_who(request))
        self._catalog.finish_commitment_request(request.id, reason=problem)


def place_of_peer(peers: Sequence[Peer], *, calling_ae: str, address: str) -> PeerPlace | None:
    """Where a sender is called: by the entry of ``peers`` that it came by, else by another of its AE title; None if nowhere."""
    named = [one for one in peers if one.ae_title == calling_ae and one.port is not None]
    known = next((one for one in named if is_peer(one, calling_ae, address)), named[0] if named else None)
    if known is None or known.port is None:
        return None
    return PeerPlace(known.ae_title, known.host or address, known.port, known.tls)


def counts(report: CommitmentReport) -> dict[str, str | int]:
    """What the log says of a report."""
    return {
        "transaction_uid": report.transaction_uid,
        "kept": len(report.committed),
        "not_kept": len(report.failed),
    }


def _who(request: CommitmentRequestRow) -> dict[str, str]:
    return {"calling_ae": request.calling_ae, "peer": request.peer, "transaction_uid": request.transaction_uid}
