"""The step that synthesises: a warm worker process turns source series into synthetic HU on disk."""

from dicom_node.translate.process import WorkerProcess
from dicom_node.translate.step import TranslateStep

__all__ = ["TranslateStep", "WorkerProcess"]
