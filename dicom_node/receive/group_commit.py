"""Catalog rows for received instances, many in one transaction."""

import queue
import threading
from concurrent.futures import Future

from dicom_node.catalog import Catalog, NewInstance, Outcome
from dicom_node.receive.spool import sync_folders

_MAX_BATCH = 256
_Item = tuple[NewInstance, "Future[Outcome]"]


class GroupCommit:
    """One thread that makes instances durable on behalf of all associations.

    A transaction and the synchronisation of a folder cost the disk the same for one instance and for fifty, so whatever
    arrives while one batch is being committed shares the next. Nothing waits for a batch to fill.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def commit(self, instance: NewInstance) -> Outcome:
        """Record `instance`, whose file is on disk; both are durable on return.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError, OSError
            If the catalog or the folder could not be written; there is no row then.
        """
        future: Future[Outcome] = Future()
        self._queue.put((instance, future))
        return future.result()

    def _run(self) -> None:
        running = True
        while running:
            item = self._queue.get()
            batch: list[_Item] = []
            while item is not None:
                batch.append(item)
                if len(batch) == _MAX_BATCH:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            running = item is not None
            self._commit(batch)

    def _commit(self, batch: list[_Item]) -> None:
        try:
            sync_folders({instance.path.parent for instance, _ in batch})
            outcomes = self._catalog.add_instances([instance for instance, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            # One instance must not take those of other associations down with it.
            for item in batch:
                self._commit([item])
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            future.set_result(outcome)
