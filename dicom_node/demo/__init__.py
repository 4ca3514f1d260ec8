"""The node end to end on this machine: a series goes in over DICOM, synthetic phases come back, a picture is drawn."""

from dicom_node.demo.node import DemoError
from dicom_node.demo.run import DemoReport, run_demo

__all__ = ["DemoError", "DemoReport", "run_demo"]
