"""The node's exception tree; each error carries a `Problem` for the PACS administrator."""

from s2ldm_core.problem import ProblemError


class NodeError(ProblemError):
    """Base of all errors the node raises knowingly."""


class ConfigError(NodeError):
    """The configuration cannot be used: the sentence names the key."""


class CatalogError(NodeError):
    """The catalog cannot be opened, is of another version, or was asked for something that it does not hold."""


class CatalogAwayError(CatalogError):
    """The database does not answer, which may pass. Whoever holds a claim drops it: it runs out, and the work is done again."""


class ReceiveError(NodeError):
    """An object or an association cannot be accepted."""


class TranslateError(NodeError):
    """The translation worker cannot do a job."""


class DeriveError(NodeError):
    """A derived series cannot be written."""


class DeliverError(NodeError):
    """An object or a derived series cannot be sent."""


class RetriableDeliverError(DeliverError):
    """Sending failed for a reason that may pass: no connection, a transient rejection, a peer out of resources."""
