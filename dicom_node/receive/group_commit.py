"""Catalog rows for received instances, many in one transaction."""

import threading
from concurrent.futures import Future

from dicom_node.catalog import Catalog, NewInstance, Outcome
from dicom_node.receive.spool import holds

_Pending = tuple[NewInstance, Future[Outcome]]


class GroupCommit:
    """Makes instances durable on behalf of all associations.

    A transaction costs the disk the same for one instance and for fifty, so whatever arrives while one batch is being
    committed shares the next. Whoever comes first commits for all who wait; nothing waits for a batch to fill, and a
    lone association pays for no hand-over to another thread.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._waiting: list[_Pending] = []
        self._waiting_lock = threading.Lock()
        self._commit_lock = threading.Lock()

    def commit(self, instance: NewInstance) -> Outcome:
        """Record `instance`, whose file and folder entry are on disk; the row is when this returns.

        Raises
        ------
        CatalogError
            If the catalog could not be written; there is no row then.
        """
        recorded: Future[Outcome] = Future()
        with self._waiting_lock:
            self._waiting.append((instance, recorded))
        with self._commit_lock:
            if not recorded.done():
                with self._waiting_lock:
                    batch, self._waiting = self._waiting, []
                self._commit(batch)
        return recorded.result(timeout=0)

    def _commit(self, batch: list[_Pending]) -> None:
        try:
            outcomes = self._catalog.add_instances([instance for instance, _ in batch], is_there=holds)
        except Exception as error:  # noqa: BLE001 - raised again to whoever waits for it
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            # One instance must not take those of other associations down with it.
            for pending in batch:
                self._commit([pending])
            return
        for (_, recorded), outcome in zip(batch, outcomes, strict=True):
            recorded.set_result(outcome)
