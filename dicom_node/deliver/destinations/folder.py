"""``folder``: files in a folder, for whatever picks them up there."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from dicom_node.deliver.destinations.destination import Answer, DestinationSettings
from dicom_node.errors import RetriableDeliverError
from dicom_node.section import PositiveSeconds
from dicom_node.states import Verdict
from s2ldm_core.files import atomic_file

if TYPE_CHECKING:
    from pydicom.uid import UID


class FolderSettings(DestinationSettings):
    """A folder that derived series are copied into."""

    is_media: ClassVar[bool] = True

    type: Literal["folder"] = "folder"
    path: Path
    write_timeout_seconds: PositiveSeconds = 60.0

    @property
    def answer_seconds(self) -> float:
        """One file's copy."""
        return self.write_timeout_seconds

    def open(self, *, own_ae_title: str) -> "FolderDestination":
        """See `dicom_node.deliver.destinations.DestinationSettings`."""
        return FolderDestination(self.path)


class FolderDestination:
    """A folder; see `dicom_node.deliver.destinations.Destination`. A file is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._path)

    def check(self, sop_classes: Sequence["UID"] = ()) -> str:
        """Whether it can be written to."""
        if not self._path.is_dir():
            raise RetriableDeliverError("folder_gone", f"There is no folder {self._path}.", "Create or mount it.")
        return f"{self._path} is there"

    def send(
        self, files: Sequence[Path], *, on_answer: Callable[[Answer], None], should_stop: Callable[[], bool]
    ) -> list[Answer]:
        """Copy the files, each atomically."""
        self.check()
        answers: list[Answer] = []
        for path in files:
            if should_stop():
                break
            answers.append(self._copy(path))
            on_answer(answers[-1])
            if answers[-1].verdict is Verdict.RETRIABLE:
                break
        return answers

    def _copy(self, path: Path) -> Answer:
        from pydicom.filereader import read_file_meta_info

        uid = str(read_file_meta_info(path).MediaStorageSOPInstanceUID)
        try:
            with atomic_file(self._path / f"{uid}.dcm") as file:
                file.write(path.read_bytes())
        except OSError as error:
            comment = f"{self._path} cannot be written ({error.strerror})"
            status = error.errno or errno.EIO
            return Answer(path=path, sop_instance_uid=uid, status=status, verdict=Verdict.RETRIABLE, comment=comment)
        return Answer(path=path, sop_instance_uid=uid, status=0, verdict=Verdict.ACCEPTED)
