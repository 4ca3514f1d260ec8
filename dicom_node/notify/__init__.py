"""Whom the node tells what needs a person: kinds of target, one file each, and a line here.

Notices hold numbers, codes and sentences of the node, never a patient: they leave the hospital's network.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from dicom_node.notify.mail import MailTarget
from dicom_node.notify.target import EVENTS, Notice, NotifyTarget
from dicom_node.notify.webhook import WebhookTarget
from dicom_node.section import Section, kind_in

#: By the ``type`` that configurations name.
TARGETS: dict[str, type[NotifyTarget]] = {
    "webhook": WebhookTarget,
    "mail": MailTarget,
}


class _Kind(Section):
    type: Annotated[str, kind_in(TARGETS)]


def target_of(values: Mapping[str, Any] | NotifyTarget) -> NotifyTarget:
    """The target that ``values`` describe; pydantic's errors where they describe none."""
    if isinstance(values, NotifyTarget):
        return values
    kind = _Kind.model_validate({key: values[key] for key in values if key == "type"}).type
    return TARGETS[kind].model_validate(values)


__all__ = ["EVENTS", "TARGETS", "Notice", "NotifyTarget", "target_of"]
