"""A peer that is known by name."""

from pydantic import Field

from dicom_node.section import AETitle, Port, Section
from dicom_node.tls import ClientTls


class Peer(Section):
    """A peer that may send and query; ``host`` null stands for any address, ``max_associations`` null for no limit of its own.

    ``port``: where the node calls it, to answer its requests for storage commitment; null: it is not called. ``tls``: how it is
    called over TLS, as destinations are; null: in the clear.
    ``max_retrievals``: C-MOVE and C-GET of derived series at the same time; 0: it may not retrieve.
    """

    ae_title: AETitle
    host: str | None = None
    port: Port | None = None
    tls: ClientTls | None = None
    max_associations: int | None = Field(default=None, ge=1)
    max_retrievals: int = Field(default=2, ge=0)
