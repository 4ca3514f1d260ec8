"""Receiving: associations from peers, their objects to disk and into the catalog."""

from dicom_node.receive.listener import Listener
from dicom_node.receive.observer import ReceiveObserver
from dicom_node.receive.processes import ListenerProcesses

__all__ = ["Listener", "ListenerProcesses", "ReceiveObserver"]
