"""Data sets of pydicom's, pynetdicom's and DCMTK's own test files, as they lie in the installed packages."""

import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
import pynetdicom
from pydicom import FileDataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from tests.broken_series import sound_series
from tests.wire import CT, EXPLICIT

DUMP2DCM = "/usr/bin/dump2dcm"
#: The most bytes of a data set, so that a test of thousands moves megabytes and not gigabytes.
LARGEST = 2 * 2**20
#: Names of the slices of a CT series that nothing is wrong with begin so.
SOUND = "sound slice"
_DCMTK_EXAMPLES = Path("/usr/share/doc/dcmtk/examples")
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class Original:
    """A data set of the corpus, encoded, with what its file says of it."""

    name: str
    sop_class: str
    sop_instance: str
    series: str
    syntax: str
    content: bytes
    patient: str

    def renamed(self, instance: int, series: int) -> "Original":
        """The same with numbers at the ends of its UIDs, of the same lengths; deflated, its bytes stay as they are."""
        named, of_series = _numbered(self.sop_instance, instance), _numbered(self.series, series)
        content = self.content
        for old, new in ((self.sop_instance, named), (self.series, of_series)):
            if old:
                content = content.replace(old.encode(), new.encode())
        if content == self.content:
            return self
        return replace(self, content=content, sop_instance=named, series=of_series)


def _numbered(uid: str, number: int) -> str:
    return uid if len(uid) <= _NUMBER_DIGITS else f"{uid[:-_NUMBER_DIGITS]}{number:0{_NUMBER_DIGITS}d}"


#: So many characters at the end of a UID may be replaced by a number.
_NUMBER_DIGITS = 10


@dataclass(frozen=True)
class Element:
    """Where an element lies in its data set: it begins, its VR (empty if implicit), its length field, its value, it ends."""

    start: int
    vr: bytes
    length_at: int
    value_at: int
    end: int


def find_elements(content: bytes, syntax: str) -> list[Element]:
    """The elements of the first level of an encoded data set (PS3.5 7.1), up to the first that cannot be told."""
    order, implicit = (">" if syntax == ExplicitVRBigEndian else "<"), syntax == ImplicitVRLittleEndian
    if syntax == DeflatedExplicitVRLittleEndian:
        return []
    found, offset = [], 0
    while offset + 8 <= len(content):
        vr = b"" if implicit else content[offset + 4 : offset + 6]
        length_at, kind = offset + (4 if implicit else 6), "L" if implicit else "H"
        if vr in _LONG_VRS:
            length_at, kind = offset + 8, "L"
        value_at = length_at + struct.calcsize(order + kind)
        if value_at > len(content):
            break
        (length,) = struct.unpack_from(order + kind, content, length_at)
        end = len(content) if length == UNDEFINED else value_at + length
        if end > len(content):
            break
        found.append(Element(offset, vr, length_at, value_at, end))
        offset = end
    return found


def corpus() -> list[Original]:
    """Every data set of the test files that lie in the installed packages, and those of a sound CT series."""
    folders = (
        Path(pydicom.__file__).parent / "data" / "test_files",
        Path(pydicom.__file__).parent / "data" / "charset_files",
        Path(pynetdicom.__file__).parent / "tests" / "dicom_files",
    )
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    found = [one for path in paths if (one := _original(path)) is not None]
    if shutil.which(DUMP2DCM):
        found += _dcmtk_examples()
    for number, image in enumerate(sound_series()[0]):
        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            image.save_as(file.name, enforce_file_format=True)
            made = _original(Path(file.name), name=f"{SOUND} {number}")
        found += [made] if made is not None else []
    return found


def _dcmtk_examples() -> list[Original]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(_DCMTK_EXAMPLES.rglob("*.dump")):
            target = Path(folder) / f"{path.stem}.dcm"
            done = subprocess.run([DUMP2DCM, "-q", str(path), str(target)], capture_output=True, check=False)
            if done.returncode == 0 and (one := _original(target, name=path.name)) is not None:
                found.append(one)
    return found


def _original(path: Path, *, name: str | None = None) -> Original | None:
    """A file's data set; None if it is no DICOM file, or larger than a mutant may be."""
    if path.stat().st_size > LARGEST or path.name.startswith("DICOMDIR"):
        return None
    try:
        header = dcmread(path, force=True)
        header.decode()
    except Exception:  # noqa: BLE001 (test files of toolkits are broken in any way; such a one is no beginning)
        return None
    if "SOPClassUID" not in header and "PatientName" not in header:
        return None
    syntax = str(header.file_meta.get("TransferSyntaxUID") or _syntax_of(header))
    encoded = path.read_bytes()
    return Original(
        name=name or path.name,
        sop_class=str(header.get("SOPClassUID") or CT),
        sop_instance=str(header.get("SOPInstanceUID") or "1.2.3.4.5.6.7.8.9"),
        series=str(header.get("SeriesInstanceUID") or ""),
        syntax=syntax,
        content=encoded[_data_set_at(encoded) :],
        patient=str(header.get("PatientName") or ""),
    )


def _syntax_of(header: FileDataset) -> str:
    implicit, little = header.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return EXPLICIT if little in (True, None) else str(ExplicitVRBigEndian)


def _data_set_at(encoded: bytes) -> int:
    """Where the data set begins behind the file meta information, explicit VR, little endian (PS3.10 7.1), if there is any."""
    start = 132 if encoded[128:132] == b"DICM" else 0
    meta = [one for one in find_elements(encoded[start:], EXPLICIT) if encoded[start + one.start :][:2] == b"\x02\0"]
    return start + (meta[-1].end if meta else 0)
