"""Whether a destination is there and takes what its routes send."""

from dicom_node.config import Settings
from dicom_node.derive.forms import output_form


def check_destination(name: str, settings: Settings) -> str:
    """Say what was found; nothing is stored. Raises `DeliverError` with the reason.

    ``name`` is one of ``settings.destinations``.
    """
    outputs = {route.output for route in settings.routes.values() if name in route.destinations}
    destination = settings.destinations[name].open(own_ae_title=settings.node.ae_title)
    found = destination.check(sorted({output_form(output).sop_class_uid for output in outputs}))
    return found if outputs else f"{found}; no route sends to it"
