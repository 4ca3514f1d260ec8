"""Receiving: associations from peers, their objects to disk and into the catalog."""

from dicom_node.receive.listener import Listener
from dicom_node.receive.processes import ListenerProcesses
from dicom_node.receive.storage import ReceiveObserver

__all__ = ["Listener", "ListenerProcesses", "ReceiveObserver"]
