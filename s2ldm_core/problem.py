"""Why something cannot go on, as one value for every package: a code for machines, a sentence and a remedy for people."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A reason.

    Attributes
    ----------
    code
        Short name in ``lower_snake_case``; stable, for logs, metrics, the HTTP interface and ``docs/reasons.md``.
    sentence
        What is wrong, in words a PACS administrator understands. Never holds a patient's name, ID or birth date.
    remedy
        What to do about it; empty when nothing can be done.
    """

    code: str
    sentence: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence} {self.remedy}".rstrip()


class ProblemError(Exception):
    """Base of every error that is raised knowingly: it carries a `Problem`, also from one process to another.

    >>> raise VolumeError("no_slices", "The folder holds no CT slices.", "Name a folder with a CT series.")
    """

    def __init__(self, code: str, sentence: str, remedy: str = "") -> None:
        super().__init__(code, sentence, remedy)
        self.problem = Problem(code, sentence, remedy)

    @property
    def code(self) -> str:
        """The problem's code."""
        return self.problem.code

    @property
    def sentence(self) -> str:
        """The problem's sentence."""
        return self.problem.sentence

    @property
    def remedy(self) -> str:
        """The problem's remedy."""
        return self.problem.remedy

    def __str__(self) -> str:
        return str(self.problem)
