"""A peer that is known by name."""

from pydantic import Field

from dicom_node.section import AETitle, Section


class Peer(Section):
    """A peer that may send; ``host`` null stands for any address, ``max_associations`` null for no limit of its own."""

    ae_title: AETitle
    host: str | None = None
    max_associations: int | None = Field(default=None, ge=1)
