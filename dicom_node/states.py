"""Where series, jobs and deliveries stand, and what becomes of instances: each word declared once."""

from enum import StrEnum


class SeriesState(StrEnum):
    """Where a received series stands."""

    RECEIVING = "receiving"
    COMPLETE = "complete"
    #: It could not be completed; whatever comes of it, or a new start of the node, tries again.
    FAILED = "failed"


class JobState(StrEnum):
    """Where a job stands, in the order of its way; the last four are final until somebody retries."""

    SELECTING = "selecting"
    QUEUED = "queued"
    TRANSLATING = "translating"
    TRANSLATED = "translated"
    DERIVING = "deriving"
    DELIVERING = "delivering"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: Where an interrupted or retried step takes its work from again.
BACK_TO = {
    JobState.SELECTING: JobState.SELECTING,
    JobState.QUEUED: JobState.QUEUED,
    JobState.TRANSLATING: JobState.QUEUED,
    JobState.TRANSLATED: JobState.TRANSLATED,
    JobState.DERIVING: JobState.TRANSLATED,
    JobState.DELIVERING: JobState.DELIVERING,
    JobState.REFUSED: JobState.SELECTING,
}

#: Worker of a pending delivery that the administrator wants sent now, whatever is known about the destination.
BY_HAND = "administrator"


class DeliveryState(StrEnum):
    """Where a delivery stands; ``failed`` is quarantine, from which ``jobs retry`` requeues."""

    PENDING = "pending"
    SENDING = "sending"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class CommitmentState(StrEnum):
    """Where a sender's request for storage commitment stands; ``failed``: it could not be told the answer."""

    WAITING = "waiting"
    TELLING = "telling"
    TOLD = "told"
    FAILED = "failed"


class Verdict(StrEnum):
    """What a destination's answer means for one instance; a delivery is done when every instance is ``accepted``."""

    ACCEPTED = "accepted"
    RETRIABLE = "retriable"
    PERMANENT = "permanent"


class Outcome(StrEnum):
    """What became of a received instance.

    ``new``: recorded, keep the file. ``same``: held already with the same content, drop the file and answer success.
    ``conflict``: held already with other content; the first is kept, the caller quarantines the second.
    """

    NEW = "new"
    SAME = "same"
    CONFLICT = "conflict"
