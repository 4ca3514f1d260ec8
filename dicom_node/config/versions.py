"""Every version that a configuration had: its text, who changed it, when and why."""

import difflib
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from dicom_node.config.secret import without_passwords
from dicom_node.errors import ConfigError
from s2ldm_core.files import atomic_file

_LOCK_SECONDS = 10.0
_ENDING = ".json"


class Version(BaseModel):
    """One version; ``number`` counts from 1."""

    model_config = ConfigDict(frozen=True)

    number: int
    at: datetime
    who: str
    comment: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text (hex)."""
        return digest_of(self.text)

    def shown(self) -> Self:
        """The version without the passwords of addresses."""
        return self.model_copy(update={"text": without_passwords(self.text)})

    def difference(self, before: Self | None) -> str:
        """What changed since another version, as a unified diff."""
        name = "nothing" if before is None else f"version {before.number}"
        return difference("" if before is None else before.text, self.text, of=name, to=f"version {self.number}")


def digest_of(text: str) -> str:
    """SHA-256 (hex) of a configuration's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def difference(before: str, after: str, *, of: str = "before", to: str = "after") -> str:
    """Two texts as a unified diff without passwords; empty if they are equal but for these."""
    old, new = (without_passwords(text).splitlines() for text in (before, after))
    return "\n".join(difflib.unified_diff(old, new, of, to, lineterm=""))


class Versions:
    """The versions in a folder, one file each, readable by the node's own user alone: a configuration may hold secrets.

    Safe from several threads and processes, which change it under `lock`.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] | None = None) -> None:
        self._folder = folder
        self._now = clock or (lambda: datetime.now(UTC))

    def lock(self) -> FileLock:
        """Held while the configuration is changed."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return FileLock(self._folder / ".lock", timeout=_LOCK_SECONDS, mode=0o600)

    def add(self, text: str, *, who: str, comment: str = "") -> Version:
        """Keep a version, unless the last one has the very same text; call under `lock`."""
        last = self.last()
        if last is not None and last.text == text:
            return last
        number = 1 if last is None else last.number + 1
        version = Version(number=number, at=self._now(), who=who, comment=comment, text=text)
        with atomic_file(self._path(number), mode=0o600) as file:
            file.write(version.model_dump_json(indent=1).encode())
        return version

    def get(self, number: int) -> Version:
        """One version; raises `ConfigError` (``config_version_unknown``)."""
        if number not in self.numbers():
            raise ConfigError(
                "config_version_unknown",
                f"There is no version {number} of the configuration.",
                "s2ldm-node config history lists those that there are.",
            )
        return self._read(number)

    def last(self) -> Version | None:
        """The newest version; None before there is any."""
        numbers = self.numbers()
        return self._read(numbers[-1]) if numbers else None

    def newest(self, *, limit: int = 100, offset: int = 0) -> list[Version]:
        """Versions, newest first."""
        return [self._read(number) for number in self.numbers()[::-1][offset : offset + limit]]

    def numbers(self) -> list[int]:
        """The numbers of all versions, oldest first."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return sorted(
            int(stem) for name in names if name.endswith(_ENDING) and (stem := name.removesuffix(_ENDING)).isdigit()
        )

    def _read(self, number: int) -> Version:
        try:
            return Version.model_validate(json.loads(self._path(number).read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise ConfigError(
                "config_version_unreadable",
                f"Version {number} of the configuration cannot be read: {type(error).__name__}.",
                "Choose another version.",
            ) from error

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}{_ENDING}"
