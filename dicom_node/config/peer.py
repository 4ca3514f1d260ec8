"""A peer that is known by name."""

from pydantic import Field

from dicom_node.section import AETitle, Port, Section


class Peer(Section):
    """A peer that may send; ``host`` null stands for any address, ``max_associations`` null for no limit of its own.

    ``port``: where the node calls it, to answer its requests for storage commitment; null: it is not called.
    """

    ae_title: AETitle
    host: str | None = None
    port: Port | None = None
    max_associations: int | None = Field(default=None, ge=1)
