"""How listeners send what peers have moved (C-MOVE): as deliveries are sent."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dicom_node.config import Settings

if TYPE_CHECKING:
    from dicom_node.deliver.destinations import Carrier


def carry(
    settings: Settings,
    name: str,
    files: Sequence[Path],
    *,
    originator: tuple[str, int],
    on_answer: Callable[[str, int | None], None],
    should_stop: Callable[[], bool],
) -> None:
    """See `dicom_node.receive.retrieve.Carry`; raises `dicom_node.errors.DeliverError` where nothing can be sent."""
    # The configuration names only kinds that carry as those that objects may be moved to.
    carrier = cast("Carrier", settings.destinations[name].open(own_ae_title=settings.node.ae_title))
    carrier.carry(
        files,
        originator=originator,
        on_answer=lambda answer: on_answer(answer.sop_instance_uid, answer.status),
        should_stop=should_stop,
    )
