"""``local``: one warm worker process on this machine."""

from multiprocessing.connection import Connection
from typing import ClassVar

from dicom_node.section import Section
from dicom_node.translate.executors.process import ProcessExecutor


class LocalExecutor(ProcessExecutor):
    """See `dicom_node.translate.executors.Executor`."""

    settings_type: ClassVar[type[Section] | None] = None

    def __init__(self, settings: None = None) -> None:
        super().__init__(_serve)


def _serve(connection: Connection) -> None:
    from dicom_node.translate.worker import serve

    serve(connection)
