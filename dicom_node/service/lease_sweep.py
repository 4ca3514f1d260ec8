"""Giving back what nobody works on any more."""

import time
from collections.abc import Callable

from dicom_node.catalog import Catalog


class LeaseSweep:
    """A timer's step.

    While the database did not answer nobody could renew a claim. So after a pause, and when another node had the lead
    until now, whoever lives is given the time to do so before claims count as run out.

    Parameters
    ----------
    pause_seconds
        Longer since the last sweep is a pause.
    wait_first
        Whether claims of before may be kept by others.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        pause_seconds: float,
        wait_first: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog, self._pause_seconds, self._monotonic = catalog, pause_seconds, monotonic
        now = monotonic()
        self._swept_at = now
        self._wait_until = now + catalog.lease_seconds if wait_first else now

    def run_once(self) -> bool:
        """Look once."""
        now = self._monotonic()
        if now - self._swept_at > self._pause_seconds:
            self._wait_until = now + self._catalog.lease_seconds
        worked = now >= self._wait_until and self._catalog.sweep_leases() > 0
        self._swept_at = now
        return worked
