"""Model packages on this node: bundled, added, or named by a route from elsewhere."""

import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from dicom_node.catalog import Catalog
from dicom_node.config import Settings, SettingsSource
from dicom_node.errors import NodeError
from s2ldm_core.errors import PackageError
from s2ldm_core.package import BUNDLED, CARD, ModelPackage, list_packages
from s2ldm_core.package_archive import MOST_ARCHIVE_BYTES, clear_incoming, install_package, licences_of

_MOST_CARD = 2**20


@dataclass(frozen=True, kw_only=True)
class HeldPackage:
    """A package on this node.

    Attributes
    ----------
    key
        What it is called among all: the bundled one's name, or name and version.
    model
        What a route's ``model`` says to use it.
    added
        Whether it was added here and so can be removed.
    """

    key: str
    model: str
    package: ModelPackage
    routes: tuple[str, ...]
    added: bool

    @property
    def card(self) -> str:
        """The model card; empty if there is none."""
        try:
            return (self.package.path / CARD).read_text(encoding="utf-8", errors="replace")[:_MOST_CARD]
        except OSError:
            return ""

    @property
    def licences(self) -> tuple[str, ...]:
        """The names of the licences whose texts are in the package."""
        return licences_of(self.package)


class Packages:
    """Lists, adds and removes packages."""

    def __init__(self, settings: SettingsSource, catalog: Catalog) -> None:
        self._settings = settings
        self._catalog = catalog
        self._receiving = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where packages are put that are added."""
        return packages_dir(self._settings.current)

    def held(self) -> list[HeldPackage]:
        """All packages at hand."""
        return held_packages(self._settings.current)

    def add(self, source: Path) -> HeldPackage:
        """Check the package in a zip file or folder and keep it; errors as in `install_package`."""
        package = install_package(source, self.folder)
        return next(one for one in self.held() if one.package.path == package.path.resolve())

    def remove(self, key: str) -> None:
        """Remove a package that was added.

        Raises
        ------
        NodeError
            ``package_unknown``; ``package_bundled``: it was not added here; ``package_in_use``: a route or a job that has
            not ended needs it.
        """
        held = next((one for one in self.held() if one.key == key), None)
        if held is None:
            raise NodeError(
                "package_unknown", f"There is no model package {key!r}.", "s2ldm-node models list names all."
            )
        if not held.added:
            raise NodeError(
                "package_bundled", f"The package {key} was not added here.", "It can only be removed where it is."
            )
        at_work = any(_path_of(model) == held.package.path for model in self._catalog.models_at_work())
        if held.routes or at_work:
            users = f"the route {', '.join(held.routes)}" if held.routes else "a job that has not ended"
            raise NodeError(
                "package_in_use", f"The package {key} is used by {users}.", "Give the routes another model first."
            )
        aside = self.folder / f".incoming-{key}-removed"  # cleared at the next start, should this be interrupted
        held.package.path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    @contextmanager
    def room_for_archive(self) -> Iterator[Path]:
        """Where an archive is written before it is looked at; removed at the end.

        Raises
        ------
        NodeError
            ``package_busy``: another one is coming.
        """
        if not self._receiving.acquire(blocking=False):
            raise NodeError("package_busy", "Another package is being added.", "Try again when it is there.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".incoming-", dir=self.folder) as temporary:
                yield Path(temporary) / "package.zip"
        finally:
            self._receiving.release()

    def check_room(self, size: int) -> None:
        """Before more of an archive is written, that is ``size`` bytes long by then.

        Raises
        ------
        NodeError
            ``package_too_large`` or ``package_no_space``: as much again is needed to unpack it.
        """
        if size > MOST_ARCHIVE_BYTES:
            raise NodeError(
                "package_too_large",
                f"The archive is larger than {MOST_ARCHIVE_BYTES / 2**30:.1f} GiB.",
                "See its files.",
            )
        free = shutil.disk_usage(self.folder if self.folder.exists() else self.folder.parent).free
        if free - size < self._settings.current.node.min_free_mib * 2**20:
            raise NodeError("package_no_space", "There is not enough free disk space for the package.", "Make room.")

    def clear(self) -> None:
        """Remove what the last run left half-way."""
        clear_incoming(self.folder)


def packages_dir(settings: Settings) -> Path:
    """Where packages are put that are added to a node."""
    return settings.node.data_dir / "models"


def held_packages(settings: Settings) -> list[HeldPackage]:
    """Bundled packages, those added, and those that routes name from elsewhere; what cannot be read is left out."""
    added = packages_dir(settings)
    found = {one.path: (one.metadata.name, one.metadata.name, False) for one in list_packages()}
    found |= {path.resolve(): (path.name, str(path), True) for path in _folders(added)}
    for route in settings.routes.values():
        path = _path_of(route.model)
        if path is not None and path not in found:
            found[path] = (path.name, route.model, False)
    rows = []
    for path, (key, model, is_added) in found.items():
        try:
            package = ModelPackage.load(path)
        except PackageError:
            continue
        routes = tuple(sorted(title for title, one in settings.routes.items() if _path_of(one.model) == path))
        rows.append(HeldPackage(key=key, model=model, package=package, routes=routes, added=is_added))
    return rows


def _folders(parent: Path) -> Iterable[Path]:
    try:
        return [parent / name for name in sorted(os.listdir(parent)) if not name.startswith(".")]
    except OSError:
        return ()


def _path_of(model: str) -> Path | None:
    """Where a route's model lies; None if it is nowhere."""
    try:
        path = ModelPackage.load(model).path
    except PackageError:
        return None
    return path if path.is_relative_to(BUNDLED) else path.resolve()
