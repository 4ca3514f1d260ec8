"""A lean acceptor of associations on pynetdicom: C-ECHO answered, C-STORE streamed to whoever implements `Service`.

It knows nothing of the node: who may open an association, and what becomes of an object, is the service's to say.
"""

from dicom_node.streaming.acceptor import Acceptor, Door, listen
from dicom_node.streaming.command_set import Command
from dicom_node.streaming.service import Answer, End, ExcessError, Refusal, Request, Service, Session, Sink

__all__ = [
    "Acceptor",
    "Answer",
    "Command",
    "Door",
    "End",
    "ExcessError",
    "Refusal",
    "Request",
    "Service",
    "Session",
    "Sink",
    "listen",
]
