"""A reader study on disk: what readers get, the key that they do not, and their answers.

``<folder>/key.json`` says which image is which and is readable by its owner only. ``<folder>/study/`` is what readers get:
``study.json``, ``images/<item>/<place>-<plane>.png`` and ``answers/reader-<n>.json``. It names no case, patient, package or date.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from s2ldm_core.files import atomic_file, replace_text
from train.errors import TrainError
from train.evaluation.viewer import Sheet

ACQUIRED = "acquired"
"""What the key calls an image that a scanner made."""

Design = Literal["single", "pair"]
ItemName = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]
Grade = Annotated[int, Field(ge=1, le=5)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


RecordT = TypeVar("RecordT", bound=_Record)


class Reader(_Record):
    """One reader: the code of the page's address, and the order in which the items come."""

    code: str
    order: tuple[str, ...]


class Study(_Record):
    """What readers get."""

    title: str
    design: Design
    """``single``: one image at a time; ``pair``: two of one scan side by side."""
    acquired: bool
    """Whether acquired images are among them: readers are then asked which are."""
    items: dict[ItemName, tuple[Sheet, ...]]
    """Item → layout of its pictures."""
    readers: tuple[Reader, ...]

    @property
    def images(self) -> int:
        """Images of an item."""
        return 2 if self.design == "pair" else 1

    @property
    def choices(self) -> tuple[str, ...]:
        """What ``Answer.choice`` may be; readers of single images without acquired ones choose nothing."""
        if self.design == "pair":
            return ("left", "right")
        return ("acquired", "synthetic") if self.acquired else ()


class Shown(_Record):
    """What an item shows."""

    case: str
    patient: str
    phase: str
    labels: tuple[str, ...]
    """`ACQUIRED` or the system's label of each image, from the left."""


class Key(_Record):
    """What readers must not know."""

    seed: int
    store_sha256: str
    systems: dict[str, str]
    """Label → package, version, weights."""
    items: dict[ItemName, Shown]


class Answer(_Record):
    """What a reader says of an item."""

    realism: tuple[Grade, ...]
    """Of each image: 1 surely synthetic … 5 surely acquired."""
    choice: str | None
    """One of `Study.choices`: what a single image is; which image of a pair is the acquired or, without one, the more real one."""
    confidence: Grade
    """In the choice: 1 a guess … 5 certain."""
    findings: str = Field("", max_length=4000)
    seconds: float = Field(0.0, ge=0, le=86400)
    """How long the item was open."""

    def fits(self, study: Study) -> bool:
        """Whether it answers what ``study`` asks."""
        chosen = self.choice in study.choices if study.choices else self.choice is None
        return chosen and len(self.realism) == study.images


class Answers(_Record):
    """Those of one reader, as they are kept and downloaded."""

    reader: int = Field(ge=1)
    """Number of the reader, from 1."""
    answers: dict[ItemName, Answer] = {}


def study_folder(folder: Path) -> Path:
    """Of a whole study, the part that readers get."""
    return folder / "study"


def images_folder(study: Path, item: str) -> Path:
    return study / "images" / item


def answers_path(study: Path, reader: int) -> Path:
    return study / "answers" / f"reader-{reader}.json"


def write_study(folder: Path, study: Study, key: Key) -> None:
    """The key last: a folder without it is no study yet."""
    replace_text(study_folder(folder) / "study.json", study.model_dump_json(indent=1))
    with atomic_file(folder / "key.json", mode=0o600) as file:
        file.write(key.model_dump_json(indent=1).encode())


def is_study(folder: Path) -> bool:
    return (folder / "key.json").is_file()


def read_study(study: Path) -> Study:
    """The readers' part in the folder ``study``.

    Raises
    ------
    TrainError
        ``study_missing``, ``study_damaged``.
    """
    return _read(Study, study / "study.json")


def read_key(folder: Path) -> Key:
    """The key of a whole study.

    Raises
    ------
    TrainError
        ``study_missing``, ``study_damaged``.
    """
    return _read(Key, folder / "key.json")


def read_answers(path: Path) -> Answers:
    """One reader's answers.

    Raises
    ------
    TrainError
        ``study_missing``, ``study_damaged``.
    """
    return _read(Answers, path)


def write_answers(study: Path, answers: Answers) -> None:
    """On disk, and whole at any moment."""
    path = answers_path(study, answers.reader)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(answers.model_dump_json(indent=1).encode())


def _read(kind: type[RecordT], path: Path) -> RecordT:
    if not path.is_file():
        raise TrainError(
            "study_missing",
            f"There is no {path}.",
            "Make a study: s2ldm-train reader-study make PACKAGES --store STORE --output FOLDER.",
        )
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise TrainError(
            "study_damaged", f"{path} is no {kind.__name__.lower()} of a reader study.", "Restore it from a copy."
        ) from error
