"""What every executor offers."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from dicom_node.section import Section
from dicom_node.translate.messages import Failed, Load, Progress, Translate, Translated
from s2ldm_core.problem import Problem


class Executor(Protocol):
    """Something that holds models warm and translates series, one at a time. ``settings``: its own section, if any.

    Nothing runs before the first `warm_up` or `translate`. Called from one thread at a time; `ready` from any.
    """

    #: Its section ``compute.<name>``, every key with a default; None for an executor without keys of its own.
    settings_type: ClassVar[type[Section] | None]

    def __init__(self, settings: Any = None) -> None: ...

    @property
    def ready(self) -> bool:
        """Whether it runs and holds the models of the last `warm_up`."""

    def warm_up(self, models: Sequence[Load], *, should_stop: Callable[[], bool]) -> dict[str, Problem]:
        """Start what is not running and load models; those that could not be loaded, and why.

        Called whenever it is not `ready`. ``should_stop`` is asked again and again; true leaves it not ready.
        """

    def translate(
        self,
        request: Translate,
        *,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        timeout_seconds: float,
    ) -> Translated | Failed | None:
        """Translate one series, starting what is not running; the result is complete on disk when this returns.

        Parameters
        ----------
        on_progress, should_stop
            Called from this thread: the first for every sign of life, the second at least once a second.
        timeout_seconds
            Longest that it may take; then it is ended, and has failed for good.

        Returns
        -------
        Translated, Failed or None
            None: ``should_stop`` said so. Whatever worked on the series has been ended then, as after every failure of
            the executor itself, so that nothing is written into the request's folder any more. No failure is raised.
        """

    def stop(self) -> None:
        """End everything it started."""
