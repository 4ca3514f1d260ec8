"""``ray``: actors on a Ray cluster, each with its models warm on a GPU or a share of the processors.

The node's own process is no part of the cluster: for every actor a process of its own is (`dicom_node.translate.courier`),
which ends with whatever ends it, and the actor with it.
"""

from multiprocessing.connection import Connection
from typing import ClassVar

from pydantic import Field, field_validator

from dicom_node.section import Section
from dicom_node.translate.executors.process import ProcessExecutor


class RaySettings(Section):
    """``compute.ray``: which cluster, how many actors this node has there, and the GPUs of each."""

    address: str = Field(default="auto", min_length=1)
    workers: int = Field(default=1, ge=1, le=64)
    gpus: float = Field(default=1.0, ge=0)

    @field_validator("address")
    @classmethod
    def _of_the_cluster(cls, value: str) -> str:
        if value.startswith("ray://"):
            raise ValueError(
                "Ray's client (ray://) lets no actor tell its progress: make this machine part of the cluster "
                "(ray start --address=HEAD:6379), and say auto or HEAD:6379"
            )
        return value


class RayExecutor(ProcessExecutor):
    """One of the actors; see `dicom_node.translate.executors.Executor`."""

    settings_type: ClassVar[type[Section] | None] = RaySettings

    def __init__(self, settings: RaySettings | None = None) -> None:
        settings = settings or RaySettings()
        super().__init__(_serve, settings.address, settings.gpus)


def _serve(connection: Connection, address: str, gpus: float) -> None:
    from dicom_node.translate.courier import serve

    serve(connection, address, gpus)
