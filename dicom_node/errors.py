"""The node's exception tree: every error has a reason code, a sentence for the PACS administrator and what to do."""


class NodeError(Exception):
    """Base of all errors the node raises knowingly.

    Parameters
    ----------
    code
        Short reason code in ``snake_case``; stable, for logs, metrics and the HTTP interface.
    sentence
        What happened, in words a PACS administrator understands. Never holds a patient's name, ID or birth date.
    remedy
        What the administrator can do about it; empty if nothing.
    """

    def __init__(self, code: str, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["NodeError"], tuple[str, str, str]]:
        """Keep all three fields when the error crosses a process boundary."""
        return type(self), (self.code, self.sentence, self.remedy)


class ConfigError(NodeError):
    """The configuration cannot be used: the sentence names the key."""


class CatalogError(NodeError):
    """The catalog cannot be opened, is of another version, or was asked for something that it does not hold."""


class ReceiveError(NodeError):
    """An object or an association cannot be accepted."""


class SelectionError(NodeError):
    """A series cannot be examined (not: is refused, which is a decision and not an error)."""


class TranslateError(NodeError):
    """The translation worker cannot do a job."""


class DeriveError(NodeError):
    """A derived series cannot be written."""


class DeliverError(NodeError):
    """An object or a derived series cannot be sent."""


class RetriableDeliverError(DeliverError):
    """Sending failed for a reason that may pass: no connection, a transient rejection, a peer out of resources."""
