"""Derived files as C-GET sends them: from where their data set begins, byte by byte where the peer takes their transfer syntax."""

from collections.abc import Collection
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import split_dataset

from dicom_node.commitment import encoded
from dicom_node.streaming import Opened

_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def open_data_set(path: Path, syntaxes: Collection[str]) -> Opened:
    """The data set of a file, in its own transfer syntax if that is in ``syntaxes``, else encoded anew in memory.

    Raises
    ------
    OSError
        The file is gone.
    ValueError
        It is compressed in a way, or is to be, that the peer does not take.
    """
    try:
        meta, offset = split_dataset(path)
        own = UID(meta.TransferSyntaxUID)
    except (InvalidDicomError, AttributeError, EOFError) as error:
        raise ValueError("not a DICOM file") from error
    if own in syntaxes:
        file = path.open("rb")
        length = file.seek(0, 2) - offset
        file.seek(offset)
        return Opened(str(own), file, length)
    other = next((one for one in _PLAIN if one in syntaxes), None)
    if own not in _PLAIN or other is None:
        raise ValueError("not in a transfer syntax that the peer takes")
    content = encoded(dcmread(path), transfer_syntax_uid=other)
    return Opened(str(other), BytesIO(content), len(content))
