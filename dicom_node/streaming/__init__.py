"""A lean acceptor of associations on pynetdicom: C-ECHO answered, the rest streamed to whoever implements `Service`, and back (C-GET).

It knows nothing of the node: who may open an association, and what becomes of an object, is the service's to say.
"""

from dicom_node.streaming.acceptor import Acceptor, Door, listen
from dicom_node.streaming.command_set import Command
from dicom_node.streaming.places import Occupancy
from dicom_node.streaming.retrieval import Opened, Parcel, Progress, Retrieval
from dicom_node.streaming.service import (
    FULL,
    Answer,
    End,
    Enter,
    EventReport,
    ExcessError,
    Refusal,
    Request,
    Service,
    Session,
    Sink,
)

__all__ = [
    "FULL",
    "Acceptor",
    "Answer",
    "Command",
    "Door",
    "End",
    "Enter",
    "EventReport",
    "ExcessError",
    "Occupancy",
    "Opened",
    "Parcel",
    "Progress",
    "Refusal",
    "Request",
    "Retrieval",
    "Service",
    "Session",
    "Sink",
    "listen",
]
