"""Where translation runs: kinds of executors, one file each.

A new one: its file, and its line in `EXECUTORS` (``docs/add-an-executor.md``). The configuration imports these files
whenever a command starts, so they import what is heavy only where it is used.
"""

from dicom_node.translate.executors.executor import Executor
from dicom_node.translate.executors.local import LocalExecutor
from dicom_node.translate.executors.ray import RayExecutor

#: By the name that ``compute.executor`` takes.
EXECUTORS: dict[str, type[Executor]] = {
    "local": LocalExecutor,
    "ray": RayExecutor,
}

__all__ = ["EXECUTORS", "Executor"]
