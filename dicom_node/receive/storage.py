"""What a received object needs of the node: a file, a row in the catalog, a place in quarantine."""

from dataclasses import dataclass

import structlog

from dicom_node.catalog import Catalog, NewInstance, Outcome
from dicom_node.config import Route, SettingsSource
from dicom_node.errors import ReceiveError
from dicom_node.receive.admission import Admission
from dicom_node.receive.file_meta import Provenance
from dicom_node.receive.group_commit import GroupCommit
from dicom_node.receive.identifiers import Identifiers
from dicom_node.receive.observer import ReceiveObserver
from dicom_node.receive.spool import Spool, SpoolFile

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ObjectLimits:
    """What one object may take: bytes of its data set, and seconds from its first fragment to its last."""

    max_bytes: int
    max_seconds: float


class StorageService:
    """Spool and catalog of all associations.

    Parameters
    ----------
    settings
        The settings in force; ``node`` and ``routes`` are used.
    catalog, spool
        Where rows and files go.
    observer
        Told of every answer.
    """

    def __init__(
        self, settings: SettingsSource, catalog: Catalog, *, spool: Spool, observer: ReceiveObserver | None
    ) -> None:
        self._source = settings
        self._catalog = catalog
        self._spool = spool
        self._observer = observer
        self._commits = GroupCommit(catalog)

    def create(self, provenance: Provenance, admission: Admission) -> SpoolFile:
        """Begin a file.

        Raises
        ------
        ReceiveError
            Why nothing may be kept: ``not_a_route``, ``disk_low``.
        """
        if admission.route is None:
            raise ReceiveError(
                "not_a_route",
                f"The AE title {admission.called_ae!r} takes no objects.",
                "Send to the AE title of a route.",
            )
        self._spool.check_free()
        return self._spool.create(provenance, shard=admission.shard)

    @property
    def limits(self) -> ObjectLimits:
        """What one object may take at most."""
        node = self._source.current.node
        return ObjectLimits(max_bytes=node.max_object_mib * 2**20, max_seconds=node.max_object_seconds)

    def check_free(self) -> None:
        """Raise `ReceiveError` (``disk_low``) if the disk has become too full to go on with an object."""
        self._spool.check_free()

    def record(self, file: SpoolFile, admission: Admission, identifiers: Identifiers) -> Outcome:
        """Record a sealed file durably."""
        provenance = file.provenance
        instance = NewInstance(
            series_instance_uid=identifiers.series_instance_uid,
            study_instance_uid=identifiers.study_instance_uid,
            sop_instance_uid=provenance.sop_instance_uid,
            sop_class_uid=provenance.sop_class_uid,
            transfer_syntax_uid=provenance.transfer_syntax_uid,
            path=file.path,
            digest=file.digest,
            size=file.length,
            route=admission.called_ae,
            calling_ae=admission.calling_ae,
            peer=admission.peer,
            association_id=admission.id,
        )
        outcome = self._commits.commit(instance)
        # A copy of what is held goes; not what is held itself, found and recorded by another node meanwhile.
        return Outcome.NEW if outcome is Outcome.SAME and self._catalog.is_held_file(instance) else outcome

    def quarantine(
        self, file: SpoolFile, admission: Admission, error: ReceiveError, *, series_uid: str | None = None
    ) -> None:
        """Keep the bytes of a sealed file where the administrator finds them, with the reason."""
        # The route may have left the configuration while the association was open.
        route = self._source.current.routes.get(admission.called_ae) or Route.gone()
        self._catalog.quarantine_object(
            route=admission.called_ae,
            calling_ae=admission.calling_ae,
            peer=admission.peer,
            association_id=admission.id,
            sop_instance_uid=file.provenance.sop_instance_uid,
            path=self._spool.quarantine(file.path),
            size=file.length,
            reason=error.problem,
            series_instance_uid=series_uid,
            phase=route.phase,
            model=route.model,
        )
        _log.warning("object_quarantined", route=admission.route, calling_ae=admission.calling_ae, reason=error.code)

    def answered(self, admission: Admission, *, outcome: str, size: int) -> None:
        """Tell the observer."""
        if self._observer is not None:
            self._observer.stored(route=admission.route or "", outcome=outcome, size=size)
