"""A received series taken in on another route, too, as if it had been sent there."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from dicom_node.catalog import Catalog, InstanceRow, NewInstance, Outcome
from dicom_node.config import Settings
from dicom_node.errors import ConfigError, ReceiveError
from dicom_node.receive.spool import Spool, holds, sync_folders


def requeue(series: int, *, route: str, settings: Settings, catalog: Catalog) -> int:
    """Take a series in on ``route``; it is complete there once nothing more has come for ``series.quiet_seconds``.

    Its files get second names, where the file system can give them, so that each route keeps them for its own time.

    Returns
    -------
    int
        How many instances that route did not hold yet.

    Raises
    ------
    CatalogError
        ``series_unknown``.
    ConfigError
        ``route_unknown``; ``same_route``, where a retry of the job does it.
    ReceiveError
        ``source_gone``: a file is not there any more; ``disk_low``, ``disk_error``.
    """
    row = catalog.get_series(series)
    if route not in settings.routes:
        raise ConfigError("route_unknown", f"There is no route {route!r}.", "See the list of routes.")
    if route == row.route:
        raise ConfigError("same_route", f"Series {series} came in on {route}.", "Retry its job to have it done again.")
    held = catalog.series_instances(series)
    if not held or any(one.path is None or not holds(one.path, one.size) for one in held):
        raise ReceiveError(
            "source_gone",
            f"Not every file of series {series} is there any more.",
            f"Send the series to the AE title {route}.",
        )
    spool = Spool(settings.node.data_dir, min_free_bytes=settings.node.min_free_mib * 2**20)
    try:
        spool.prepare()
        spool.check_free()
        return _take_in(held, route=route, spool=spool, catalog=catalog)
    finally:
        spool.close()


def _take_in(held: Sequence[InstanceRow], *, route: str, spool: Spool, catalog: Catalog) -> int:
    # All rows first, in one transaction, then the files: killed in between, files of rows are missing and the series is
    # refused for it. The other way round, a part of it could come to be taken for the whole.
    new = [
        NewInstance(
            series_instance_uid=one.series_instance_uid,
            study_instance_uid=one.study_instance_uid,
            sop_instance_uid=one.sop_instance_uid,
            sop_class_uid=one.sop_class_uid,
            transfer_syntax_uid=one.transfer_syntax_uid,
            path=spool.new_path(),
            digest=one.digest,
            size=one.size,
            route=route,
            calling_ae=one.calling_ae,
            peer=one.peer,
        )
        for one in held
    ]
    outcomes = catalog.add_instances(new, is_there=holds)
    taken = [
        (old.path, one.path) for old, one, outcome in zip(held, new, outcomes, strict=True) if outcome is Outcome.NEW
    ]
    for source, target in taken:
        if source is not None:
            _second_name(source, target)
    sync_folders({target.parent for _, target in taken})
    return len(taken)


def _second_name(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)
