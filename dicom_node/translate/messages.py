"""What the node and its translation worker say to each other: plain values and paths, never images."""

from dataclasses import dataclass
from enum import StrEnum

from s2ldm_core.handling import REGULAR_ONLY, StackHandling
from s2ldm_core.problem import Problem
from s2ldm_core.sampling import OWN, Sampling
from s2ldm_core.translation import Translation


class Disposition(StrEnum):
    """What a failed translation means for its job."""

    #: The series is not for this model: the job ends in ``refused``.
    REFUSE = "refuse"
    #: Trying again would end the same way.
    FAIL = "fail"
    #: It may pass: memory, disk.
    RETRY = "retry"


@dataclass(frozen=True, kw_only=True)
class Load:
    """Have a model ready. ``max_bytes``: more memory than this the worker's process may not hold."""

    model: str
    device: str
    threads: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Translate:
    """Translate one series; the result goes to ``folder`` as `dicom_node.translation` says.

    ``sop_instance_uids`` are those of the slices that selection saw, in any order: what is read must be these. Empty:
    whatever is read. ``slices`` is how many they are, which is more where frames of one image are slices;
    0: not known. ``handling`` is the route's, which selection went by. ``max_bytes`` as in `Load`. ``else_cpu``: what does not fit into
    the memory of ``device`` is translated on the processors.
    """

    paths: tuple[str, ...]
    folder: str
    phase: str
    model: str
    device: str
    contrast_dose: float = 1.0
    sop_instance_uids: tuple[str, ...] = ()
    slices: int = 0
    handling: StackHandling = REGULAR_ONLY
    seed: int = 0
    sampling: Sampling = OWN
    threads: int | None = None
    max_bytes: int | None = None
    else_cpu: bool = False


@dataclass(frozen=True, kw_only=True)
class Progress:
    """``fraction`` is 0 to 1 within ``stage``."""

    stage: str
    fraction: float


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model is ready."""

    model: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Translated:
    """A result is complete on disk; ``record_path`` names its record, ``translation.seconds`` has writing it as well."""

    record_path: str
    translation: Translation


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A request failed, and what that means for the job."""

    problem: Problem
    disposition: Disposition


def disk_failure(error: OSError) -> Failed:
    """A file could not be read or written, which may pass. The file's name stays out of it."""
    return Failed(
        problem=Problem(
            "translate_disk",
            f"A file could not be read or written: {error.strerror or type(error).__name__}.",
            "Check the free space and permissions of data_dir.",
        ),
        disposition=Disposition.RETRY,
    )


Request = Load | Translate
Answer = Progress | Loaded | Translated | Failed
