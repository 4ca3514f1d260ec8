"""The configuration of a running node: looked at every second, taken up when it is good, kept as it was when it is not."""

from collections.abc import Callable
from pathlib import Path

import structlog

from dicom_node.config import LiveSettings, Settings
from dicom_node.config.book import BY_HAND, ConfigBook
from dicom_node.config.live import taken_up
from dicom_node.config.versions import digest_of
from dicom_node.errors import ConfigError
from dicom_node.service.models import check_models
from s2ldm_core.problem import Problem


class Configuration:
    """Follows the configuration file (a step of the timer, and a `dicom_node.config.SettingsSource`).

    Parameters
    ----------
    settings
        What the node starts with.
    path
        The file that they were read from; None: they stand in none, and stay.
    """

    def __init__(self, settings: Settings, path: Path | None = None) -> None:
        self.book = None if path is None else ConfigBook.of(path, settings, check=check_models)
        self.problem: Problem | None = None
        self.waiting: tuple[str, ...] = ()
        self._started = settings
        self._live = LiveSettings(settings)
        self._seen: str | None = None
        self._tell: list[Callable[[Settings], None]] = []
        self._log = structlog.get_logger(part="configuration")

    @property
    def current(self) -> Settings:
        """The settings in force."""
        return self._live.current

    def on_change(self, tell: Callable[[Settings], None]) -> None:
        """Have somebody told when other settings are in force."""
        self._tell.append(tell)

    def look_again(self) -> None:
        """Have the next look read the file although it is as it was: what it names may not be."""
        self._seen = None

    def run_once(self) -> bool:
        """Look at the file; True if other settings are in force since. What is wrong with it is `problem`."""
        if self.book is None:
            return False
        try:
            text = self.book.text()
        except ConfigError as error:
            self._seen = None  # the same file may come back
            self._refuse(error.problem)
            return False
        if (digest := digest_of(text)) == self._seen:
            return False
        self._seen = digest
        try:
            settings, waiting = taken_up(self._started, self.book.read(text))
        except ConfigError as error:
            self._refuse(error.problem)
            return False
        self._keep()
        self.problem, self.waiting = None, waiting
        if settings == self._live.current:
            return False
        self._live.put(settings)
        self._log.info("configuration_taken_up", needs_restart=list(waiting))
        for tell in self._tell:
            tell(settings)
        return True

    def detail(self) -> str:
        """What an administrator should know of it; empty if all is as it says."""
        if self.problem is not None:
            return f"the file is refused and the earlier configuration in force: {self.problem.sentence}"
        return f"a restart is needed for {', '.join(self.waiting)}" if self.waiting else ""

    def _keep(self) -> None:
        """As a version, whoever wrote it; the node goes on where that cannot be done."""
        if self.book is None:
            return
        try:
            self.book.note(who=BY_HAND)
        except ConfigError as error:
            self._log.error("configuration_not_kept", code=error.code)

    def _refuse(self, problem: Problem) -> None:
        if problem != self.problem:
            self._log.error("configuration_refused", code=problem.code, sentence=problem.sentence)
        self.problem = problem
