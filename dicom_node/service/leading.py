"""Work that one node alone does, of all that share a database."""

from collections.abc import Callable

import structlog

from dicom_node.catalog.engines.kind import Lead
from dicom_node.service.loop import Step


class Leading:
    """A timer's step that runs where this node has the lead, and rests where another has.

    Parameters
    ----------
    make
        Makes the step, whenever the lead comes here: what it remembers of the time before is another node's past.
    """

    def __init__(self, make: Callable[[], Step], lead: Lead) -> None:
        self._make, self._lead = make, lead
        self._step = make() if lead.leads() else None

    def run_once(self) -> bool:
        """Run the step; False if another node does."""
        if not self._lead.leads():
            self._step = None
            return False
        if self._step is None:
            self._step = self._make()
        return self._step.run_once()


class ToldLead:
    """A lead that tells the log when it comes and goes."""

    def __init__(self, lead: Lead) -> None:
        self._lead = lead
        self._had = False
        self._log = structlog.get_logger(part="lead")

    def leads(self) -> bool:
        """See `Lead`."""
        leads = False
        try:
            leads = self._lead.leads()
        finally:
            if leads != self._had:
                self._log.info("lead_taken" if leads else "lead_lost")
            self._had = leads
        return leads

    def close(self) -> None:
        """See `Lead`."""
        self._lead.close()
