"""The last step of a series' way: C-STORE to its destinations, with retries and one status per instance."""

from dicom_node.deliver.retry import CircuitBreaker, backoff_seconds
from dicom_node.deliver.scu import SendStatus, echo, send_files
from dicom_node.deliver.status import verdict
from dicom_node.deliver.step import DeliverStep

__all__ = ["CircuitBreaker", "DeliverStep", "SendStatus", "backoff_seconds", "echo", "send_files", "verdict"]
