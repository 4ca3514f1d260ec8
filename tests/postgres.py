"""A PostgreSQL server of Debian's packages, on this machine, with its files in a folder of its own.

It trusts whoever comes to its socket and port, which listens on 127.0.0.1 alone.
"""

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg

from dicom_node.catalog import Catalog
from dicom_node.catalog.schema import metadata
from tests.peers import HOST, PeerError, free_port, wait_until

#: Newest first.
_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_USER = "s2ldm"
_START_SECONDS = 60.0
#: What tests of words and rows can do without.
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def missing() -> str | None:
    """Why there can be no server here; None if there can."""
    if not _PROGRAMS:
        return "not installed: postgresql (see `make packages`)"
    if os.geteuid() == 0 and _unprivileged() is None:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


@dataclass(kw_only=True)
class Server:
    """A running server, which can be ended and started again at the same place."""

    folder: Path
    port: int
    options: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", *, password: str = "") -> str:
        """A database as the configuration names it."""
        return f"postgresql+psycopg://{_USER}{password and ':' + password}@{HOST}:{self.port}/{database}"

    def create(self) -> str:
        """A new database; its name."""
        name = f"t{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def execute(self, statement: str, *, database: str = "postgres") -> list[tuple[object, ...]]:
        """Execute a statement; the rows that it gives."""
        with psycopg.connect(host=HOST, port=self.port, user=_USER, dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [str(_PROGRAMS[0] / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        settings = {"listen_addresses": HOST, "unix_socket_directories": str(self.folder), **self.options}
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, user=_unprivileged())
        wait_until(self._answers, seconds=_START_SECONDS, what="PostgreSQL to answer")

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """End it at once, its connections cut (SIGINT: fast shutdown)."""
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(_START_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise PeerError(f"PostgreSQL ended:\n{(self.folder / 'server.log').read_text(errors='replace')[-2000:]}")
        with suppress(psycopg.OperationalError):
            self.execute("SELECT 1")
            return True
        return False


@contextmanager
def server(**options: str) -> Iterator[Server]:
    """A server; ``options`` of its own (`QUICK`)."""
    user = _unprivileged()
    # Not one of pytest's folders, which no other user may enter.
    with TemporaryDirectory(prefix="postgresql-") as name:
        folder = Path(name)
        if user is not None:
            os.chown(folder, user, -1)
        command = [str(_PROGRAMS[0] / "initdb"), "-D", str(folder / "data"), "-U", _USER, "-A", "trust", "-E", "UTF8"]
        made = subprocess.run([*command, "--no-sync"], user=user, cwd=folder, capture_output=True)
        if made.returncode:
            raise PeerError(f"initdb ended with {made.returncode}:\n{made.stderr.decode(errors='replace')[-2000:]}")
        running = Server(folder=folder, port=free_port(), options=options)
        running.start()
        try:
            yield running
        finally:
            running.stop(how=signal.SIGQUIT)


class Database:
    """A database with the catalog's tables."""

    def __init__(self, running: Server) -> None:
        self._server, self._name = running, running.create()
        self.url = running.url(self._name)
        Catalog(self.url).close()

    def another(self) -> str:
        """The URL of a database without tables, on the same server."""
        return self._server.url(self._server.create())

    def emptied(self) -> str:
        """Its URL, without rows, and numbered from 1."""
        names = ", ".join(table.name for table in metadata.sorted_tables)
        self._server.execute(f"TRUNCATE {names} RESTART IDENTITY", database=self._name)
        return self.url


@cache
def _unprivileged() -> int | None:
    """The user whom the server runs as where this one is root, whom it refuses; None otherwise."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam("postgres").pw_uid
    except KeyError:
        return None
