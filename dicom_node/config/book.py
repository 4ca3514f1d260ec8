"""The configuration file and its history: every change goes through here, be it by page, interface or command."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import Timeout

from dicom_node.config.editing import set_keys
from dicom_node.config.loading import default_config_path, read_config_text, read_settings
from dicom_node.config.secret import with_passwords_of, without_passwords
from dicom_node.config.settings import Settings
from dicom_node.config.versions import Version, Versions, digest_of
from dicom_node.errors import ConfigError
from s2ldm_core.files import atomic_file

#: Who changed a file that was not changed through here.
BY_HAND = "by hand"


class ConfigBook:
    """One configuration file, with the versions that it had.

    Parameters
    ----------
    path
        The file; it is the truth, also where somebody edits it.
    folder
        Where the versions are kept.
    environ
        The variables that override keys; default: those of the process.
    check
        Raises `ConfigError` for settings that are no good for a reason that does not stand in them.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        *,
        environ: Mapping[str, str] | None = None,
        check: Callable[[Settings], None] = lambda _: None,
    ) -> None:
        self.path = path.absolute()
        self._check = check
        self.versions = Versions(folder)
        self._environ = environ

    @classmethod
    def of(cls, path: Path, settings: Settings, *, check: Callable[[Settings], None] = lambda _: None) -> "ConfigBook":
        """The book of a configuration that was read from ``path``."""
        return cls(path, settings.node.data_dir / "config", check=check)

    def text(self) -> str:
        """The file as it is; raises `ConfigError` (``config_unreadable``)."""
        return read_config_text(self.path)

    def shown(self) -> str:
        """The file as people may see it: without the passwords of addresses, which `write` puts back."""
        return without_passwords(self.text())

    def read(self, text: str) -> Settings:
        """A text as settings; raises `ConfigError` with a line per mistake."""
        try:
            settings = read_settings(text, source=self.path.name, environ=self._environ)
        except RecursionError as error:
            raise ConfigError(
                "config_unreadable", "The configuration is nested too deeply.", "Correct the file."
            ) from error
        self._check(settings)
        return settings

    def note(self, *, who: str = BY_HAND, comment: str = "") -> Version:
        """Keep the file as it is as a version, if it is none yet; raises `ConfigError` if it is no good."""
        with self._locked():
            text = self.text()
            self.read(text)
            return self.versions.add(text, who=who, comment=comment)

    def write(self, text: str, *, who: str, comment: str = "", seen: str | None = None) -> Version:
        """Put a text into the file and keep it as a version.

        Parameters
        ----------
        seen
            Digest of the text that the change was made from; None: whatever is there is overwritten.

        Raises
        ------
        ConfigError
            ``config_invalid``, ``config_unreadable`` or ``password_hidden``: the text is no good, nothing has changed. ``config_conflict``:
            somebody else has changed the file. ``config_read_only``: it cannot be written.
        """
        return self._change(lambda _: text, who=who, comment=comment, seen=seen)

    def set(
        self, changes: Mapping[tuple[str, ...], Any], *, who: str, comment: str = "", seen: str | None = None
    ) -> Version:
        """Change keys (see `dicom_node.config.editing.set_keys`); errors as in `write`."""
        return self._change(lambda text: set_keys(text, changes), who=who, comment=comment, seen=seen)

    def roll_back(self, number: int, *, who: str, comment: str = "") -> Version:
        """Put an earlier version into the file again; it becomes the newest version. Errors as in `write`."""
        earlier = self.versions.get(number)
        return self.write(earlier.text, who=who, comment=comment or f"back to version {number}")

    def _change(self, edit: Callable[[str], str], *, who: str, comment: str, seen: str | None) -> Version:
        with self._locked():
            text = self.text()
            if seen is not None and seen != digest_of(text):
                raise ConfigError(
                    "config_conflict",
                    "The configuration has been changed since it was shown.",
                    "Look at it again, then make the change once more.",
                )
            wanted = with_passwords_of(edit(text), text)
            self.read(wanted)
            self._keep_edit_by_hand(text)
            if wanted != text:
                self._replace(wanted)
            return self.versions.add(wanted, who=who, comment=comment)

    def _keep_edit_by_hand(self, text: str) -> None:
        """What is overwritten is a version, too, unless it was no good."""
        try:
            self.read(text)
        except ConfigError:
            return
        self.versions.add(text, who=BY_HAND)

    def _replace(self, text: str) -> None:
        if self.path == default_config_path().absolute() and self.path.parent.name == "defaults":
            raise _read_only(self.path, "it is the installed default")
        path = self.path.resolve()  # a link stays a link
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            with atomic_file(path, mode=mode) as file:
                os.fchmod(file.fileno(), mode)
                file.write(text.encode())
        except OSError as error:
            raise _read_only(self.path, error.strerror or type(error).__name__) from error

    def _locked(self) -> "_Locked":
        return _Locked(self.versions)


class _Locked:
    """The lock of the versions, as `ConfigError` where it cannot be had."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def __enter__(self) -> None:
        try:
            self._lock = self._versions.lock()
            self._lock.acquire()
        except Timeout as error:
            raise ConfigError("config_busy", "Somebody else is changing the configuration.", "Try again.") from error
        except OSError as error:
            raise ConfigError(
                "config_history",
                f"The versions of the configuration cannot be kept: {error.strerror or type(error).__name__}.",
                "Check that data_dir can be written to.",
            ) from error

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _read_only(path: Path, why: str) -> ConfigError:
    return ConfigError(
        "config_read_only",
        f"The configuration {path} cannot be written: {why}.",
        "Start the node with a file of its own: --config FILE or S2LDM_CONFIG.",
    )
