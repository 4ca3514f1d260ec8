"""Small CT series with any mixture of faults, for what must hold whatever comes.

A fault is a function of the files' contents and a random generator; it says which slices it may have changed the meaning of.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomFileLike
from pydicom.filereader import _read_file_meta_info
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.derive.verbatim import keep_encoding
from tests.ct_series import body_hu, ct_slice

SLICES = 8
SIZE = 24
SERIES_UID = "1.2.826.0.1.3680043.8.498.1"
_BONE_HU = 1200.0

_HEADER = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "ImageType",
    "PatientName", "PatientID", "InstanceNumber", "AcquisitionNumber", "SliceThickness", "SliceLocation", "SpacingBetweenSlices",
    "WindowCenter", "WindowWidth", "SeriesNumber", "StudyDate", "TimezoneOffsetFromUTC", "KVP", "SpecificCharacterSet",
    "PatientPosition", "BodyPartExamined", "ContrastBolusAgent", "ConvolutionKernel", "SeriesDescription", "LossyImageCompression",
)  # fmt: skip
_GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames")
_PIXELS = (
    "RescaleSlope", "RescaleIntercept", "RescaleType", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "PhotometricInterpretation", "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelData",
)  # fmt: skip
_TEXTS = (
    b"", b" ", b"0", b"1", b"-1", b"3,0", b"nan", b"inf", b"1e400", b"-1e308",
    b"abc", b"\\", b"1\\2", b"0\\0\\0\\0\\0\\0", b"1\\0\\0\\1\\0\\0",
    b"\xff\xfe\x80", b"9" * 70, b"1.2.3", b"01.02.003", b"CT", b"OT", b"MONOCHROME1", b"RGB", b"DERIVED\\SECONDARY\\REFORMATTED",
    b"ORIGINAL\\PRIMARY\\LOCALIZER", b"1.2.840.10008.5.1.4.1.1.7", b"+2500", b"2.0000000000000000001", b"ISO 2022 IR 999", b"\0\0",
)  # fmt: skip
_BINARY = {"US", "SS", "UL", "OW", "OB"}


@dataclass
class Files:
    """A series under way: data sets, then the bytes of files.

    ``touched``: numbers of the sound slices that a fault has met; ``unsure``: those of which the HU may be others now.
    """

    slices: list[Dataset]
    contents: dict[str, bytes] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)


def sound_series() -> tuple[list[Dataset], np.ndarray]:
    """Eight valid CT images, and their HU ``(8, 24, 24)``: a body in air with a piece of dense bone."""
    hu = body_hu(SLICES, SIZE)
    # With noise, as values that are all the same are those of a picture.
    hu[:, 10:14, 10:14] = np.rint(np.random.default_rng(1).normal(_BONE_HU, 40.0, (SLICES, 4, 4)))
    made = []
    for number, plane in enumerate(hu):
        image = ct_slice(
            np.rint(plane + 1024).astype(np.int16),
            (-40.0, -40.0, 2.5 * number),
            pixel_spacing=(2.0, 2.0),
            series_uid=SERIES_UID,
            SOPInstanceUID=f"{SERIES_UID}.{number + 1}",
            InstanceNumber=number + 1,
            SliceThickness="2.5",
            SeriesNumber=2,
        )
        image["PixelData"].VR = "OW"  # told, as Bits Allocated may be gone when it is written
        image.__dict__["made_as"] = number
        made.append(image)
    return made, hu


def damaged(faults: Sequence[tuple[str, int]]) -> tuple[Files, np.ndarray]:
    """A series with these faults, each a name of `FAULTS` and a seed, in this order; and the HU of the sound one."""
    slices, hu = sound_series()
    files = Files(slices)
    for name, seed in faults:
        if name in _ON_DATA_SETS:
            _ON_DATA_SETS[name](files, Random(seed))  # noqa: S311
    files.contents = {f"{index:03d}.dcm": _written(one) for index, one in enumerate(files.slices)}
    for name, seed in faults:
        if name in _ON_BYTES:
            _ON_BYTES[name](files, Random(seed))  # noqa: S311
    return files, hu


def _some(files: Files, random: Random, *, unsure: bool = False) -> list[Dataset]:
    """One slice, a part, every second, or all of them, which count as touched, and where said as unsure."""
    count = len(files.slices)
    choices: list[Sequence[int]] = [
        [random.randrange(count)],
        range(random.randrange(count), count),
        range(random.randrange(2), count, 2),
        range(count),
    ]
    chosen = random.choice(choices)
    images = [files.slices[index] for index in chosen]
    numbers = {_number(image) for image in images}
    files.touched |= numbers
    files.unsure |= numbers if unsure else set()
    return images


def _with_pixels(images: Sequence[Dataset]) -> list[Dataset]:
    """Those that an earlier fault has left their pixels."""
    return [image for image in images if "PixelData" in image and len(image.PixelData) % 2 == 0]


def _number(image: Dataset) -> int:
    """Which of the sound slices an image was made as, whatever became of its header."""
    number: int = image.__dict__["made_as"]
    return number


def _set_raw(image: Dataset, keyword: str, value: bytes, vr: str | None = None) -> None:
    tag = Tag(tag_for_keyword(keyword))
    value += b" " * (len(value) % 2)
    image[tag] = RawDataElement(tag, vr or dictionary_VR(tag).split(" or ")[0], len(value), value, 0, False, True)


def _remove(keywords: Sequence[str], *, unsure: bool = False) -> Callable[[Files, Random], None]:
    def fault(files: Files, random: Random) -> None:
        keyword = random.choice(keywords)
        for image in _some(files, random, unsure=unsure):
            if keyword in image:
                del image[keyword]

    return fault


def _garble(keywords: Sequence[str], *, unsure: bool = False) -> Callable[[Files, Random], None]:
    def fault(files: Files, random: Random) -> None:
        keyword, value = random.choice(keywords), random.choice(_TEXTS)
        vr = dictionary_VR(tag_for_keyword(keyword)).split(" or ")[0]
        number = struct.pack("<H", random.choice((0, 1, 2, 3, 7, 8, 12, 15, 16, 31, 33, 512, 65535)))
        for image in _some(files, random, unsure=unsure):
            _set_raw(image, keyword, number if vr in _BINARY and keyword != "PixelData" else value)

    return fault


def _wrong_vr(files: Files, random: Random) -> None:
    keyword = random.choice(
        ("SliceThickness", "SliceLocation", "PixelSpacing", "RescaleSlope", "InstanceNumber", "KVP")
    )
    for image in _some(files, random, unsure=keyword == "RescaleSlope"):
        vr, value = random.choice((("FD", struct.pack("<d", 2.5)), ("FL", struct.pack("<f", 2.5)), ("UN", b"2.5 ")))
        _set_raw(image, keyword, value, vr)


def _rescale(files: Files, random: Random) -> None:
    """Other slope and intercept with the stored values to match: the HU stay."""
    for image in _with_pixels(_some(files, random)):
        if image.__dict__.setdefault("rescaled_by", random) is not random:
            continue  # once is enough, as the values are told by the first slope
        stored = np.frombuffer(image.PixelData, "<i2").astype(np.int32)
        for keyword in ("RescaleSlope", "RescaleIntercept"):
            image.pop(keyword, None)
        image.RescaleSlope, image.RescaleIntercept = "1", "-1024"
        if random.random() < 0.5:
            image.RescaleSlope, image.RescaleIntercept = "0.5", "-1024"
            image.PixelData = (stored * 2).astype("<i2").tobytes()
        else:
            image.RescaleIntercept = "0"
            image.PixelData = (stored - 1024).astype("<i2").tobytes()


def _not_hu(files: Files, random: Random) -> None:
    offset = random.choice((-1024, 300, 1024, 2000))
    for image in _with_pixels(_some(files, random, unsure=True)):
        stored = np.frombuffer(image.PixelData, "<i2").astype(np.int32) + offset
        image.PixelData = np.clip(stored, -32768, 32767).astype("<i2").tobytes()


def _cut_pixels(files: Files, random: Random) -> None:
    keep = random.choice((0, 2, 100, SIZE * SIZE, 2 * SIZE * SIZE - 2))
    for image in _with_pixels(_some(files, random, unsure=True)):
        image.PixelData = image.PixelData[:keep]


def _other_syntax(files: Files, random: Random) -> None:
    syntax = random.choice((ImplicitVRLittleEndian, "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.3.4"))
    for image in _some(files, random, unsure=True):
        image.__dict__["claimed"] = syntax


def _written_implicit(files: Files, random: Random) -> None:
    """A legal transfer syntax, which is no fault."""
    for image in _some(files, random):
        image.__dict__["written"] = random.choice((ImplicitVRLittleEndian, ExplicitVRBigEndian))


def _same_uid(files: Files, random: Random) -> None:
    one, other = random.sample(range(len(files.slices)), 2)
    both = {_number(files.slices[one]), _number(files.slices[other])}
    files.touched |= both
    files.unsure |= both
    files.slices[one].SOPInstanceUID = files.slices[other].get("SOPInstanceUID", "")


def _other_owner(files: Files, random: Random) -> None:
    keyword = random.choice(
        ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    )
    value = {"PatientID": "OTHER", "PatientName": "Other^One"}.get(keyword, "1.2.3.99")
    for image in _some(files, random):
        setattr(image, keyword, value)


def _move(files: Files, random: Random) -> None:
    along = random.choice((0.001, 0.01, 0.1, 0.5, 1.25, 2.5, 100.0))
    axis = random.randrange(3)
    for image in _some(files, random):
        _shift(image, axis, along)


def _shift(image: Dataset, axis: int, along: float) -> None:
    try:
        place = [float(value) for value in image.ImagePositionPatient]
        place[axis] += along
        image.ImagePositionPatient = [f"{value:.4f}" for value in place]
    except (TypeError, ValueError, AttributeError, IndexError):
        return  # an earlier fault has been there


def _turn(files: Files, random: Random) -> None:
    directions = ("1\\0\\0\\0\\0.95106\\0.30902", "0\\1\\0\\0\\0\\-1", "1\\0\\0\\0\\0\\-1", "-1\\0\\0\\0\\-1\\0", "1\\0\\0\\1\\0\\0",
        "2\\0\\0\\0\\2\\0", "0.99999\\0\\0\\0\\1\\0")  # fmt: skip
    direction = random.choice(directions).encode()
    for image in _some(files, random):
        _set_raw(image, "ImageOrientationPatient", direction)


def _leave_out(files: Files, random: Random) -> None:
    for _ in range(random.randrange(1, 4)):
        if len(files.slices) > 1:
            image = files.slices.pop(random.randrange(len(files.slices)))
            files.touched.add(_number(image))


def _shuffle(files: Files, random: Random) -> None:
    random.shuffle(files.slices)


def _number_anew(files: Files, random: Random) -> None:
    for image in files.slices:
        image.InstanceNumber = random.choice((1, 7, 99))


def _repeat(files: Files, random: Random) -> None:
    name = random.choice(sorted(files.contents))
    files.contents["again.dcm"] = files.contents[name]


def _truncate(files: Files, random: Random) -> None:
    name = random.choice(sorted(files.contents))
    content = files.contents[name]
    _touch_file(files, name)
    files.contents[name] = content[: random.randrange(len(content) or 1)]


def _overwrite(files: Files, random: Random) -> None:
    name = random.choice(sorted(files.contents))
    content = bytearray(files.contents[name])
    _touch_file(files, name)
    for _ in range(random.choice((1, 4, 64))):
        if content:
            content[random.randrange(min(len(content), 1200))] = random.randrange(256)
    files.contents[name] = bytes(content)


def _append(files: Files, random: Random) -> None:
    for name in files.contents:
        files.contents[name] += random.choice((b"\0" * 64, b"\0", b"trailing"))
        _touch_file(files, name)


def _without_preamble(files: Files, random: Random) -> None:
    for name in random.sample(sorted(files.contents), random.randint(1, len(files.contents))):
        if files.contents[name][128:132] == b"DICM":
            files.contents[name] = files.contents[name][132:]


def _something_beside(files: Files, random: Random) -> None:
    files.contents[random.choice(("notes.txt", "DICOMDIR", "x.dcm"))] = random.choice((b"", b"nothing", bytes(300)))


def _touch_file(files: Files, name: str) -> None:
    if name[:3].isdigit():
        number = _number(files.slices[int(name[:3])])
        files.touched.add(number)
        files.unsure.add(number)


def _written(image: Dataset) -> bytes:
    """The bytes of a file, as it says or not."""
    held: dict[str, Any] = image.__dict__
    raw = any(isinstance(image.get_item(tag), RawDataElement) for tag in list(image.keys()))
    if raw:  # as they are, which is possible in the syntax that they are in
        keep_encoding(image)
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if raw else held.get("written", ExplicitVRLittleEndian)
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    if "claimed" in held:
        buffer.seek(132)
        _read_file_meta_info(buffer)
        data_set = buffer.read()
        image.file_meta.TransferSyntaxUID = held["claimed"]
        meta = BytesIO()
        write_file_meta_info(DicomFileLike(meta), image.file_meta)
        content = content[:132] + meta.getvalue() + data_set
    return content


_ON_DATA_SETS: dict[str, Callable[[Files, Random], None]] = {
    "remove header": _remove(_HEADER),
    "remove geometry": _remove(_GEOMETRY),
    "remove pixels": _remove(_PIXELS, unsure=True),
    "garble header": _garble(_HEADER),
    "garble geometry": _garble(_GEOMETRY),
    "garble pixels": _garble(_PIXELS, unsure=True),
    "wrong vr": _wrong_vr,
    "rescale": _rescale,
    "not hu": _not_hu,
    "cut pixels": _cut_pixels,
    "other syntax": _other_syntax,
    "written implicit": _written_implicit,
    "same uid": _same_uid,
    "other owner": _other_owner,
    "move": _move,
    "turn": _turn,
    "leave out": _leave_out,
    "shuffle": _shuffle,
    "number anew": _number_anew,
}
_ON_BYTES: dict[str, Callable[[Files, Random], None]] = {
    "repeat": _repeat,
    "truncate": _truncate,
    "overwrite": _overwrite,
    "append": _append,
    "without preamble": _without_preamble,
    "something beside": _something_beside,
}
FAULTS = (*_ON_DATA_SETS, *_ON_BYTES)
