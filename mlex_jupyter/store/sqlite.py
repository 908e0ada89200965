"""SQLite: a file in the home, written from one host, with a journal of the records beside it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event

from mlex_jupyter.errors import Unavailable
from mlex_jupyter.files import on_network
from mlex_jupyter.store.base import BUSY_S, Sole, Watch, decode, encode
from mlex_jupyter.store.hostlease import HostLease
from mlex_jupyter.store.journal import NUMBER, Journal

REPAIR = "End what uses this home, then make it anew from what stands beside it: mlex doctor --repair"


def damaged(text: str) -> bool:
    """Whether this is what SQLite says of a file that is broken."""
    return any(word in text for word in ("malformed", "not a database", "disk I/O error"))


class Sqlite:
    """A file in the home; written from one host."""

    name = "SQLite"

    def __init__(self, path: Path, *, noted: bool = True) -> None:
        self.path = path
        self.noted = noted
        shared = on_network(path.parent)
        self.mode = "DELETE" if shared else "WAL"
        self.at_hand = not shared
        self.host = HostLease(path.parent) if shared and noted else None
        self.several = self.host is not None
        self.journal = Journal(path.parent)
        self._made = False

    def reader(self) -> Engine:
        """Sees the database as it is when the transaction begins to read."""
        return self._engine("BEGIN")

    def writer(self) -> Engine:
        """Takes the one writer's lock as it begins."""
        return self._engine("BEGIN IMMEDIATE", watched=True)

    def _engine(self, begin: str, *, watched: bool = False) -> Engine:
        engine = create_engine(
            f"sqlite:///{self.path}",
            connect_args={"timeout": BUSY_S, "check_same_thread": False},
            json_serializer=encode,
            json_deserializer=decode,
        )

        @event.listens_for(engine, "connect")
        def configure(connection: sqlite3.Connection, _: object) -> None:
            connection.isolation_level = None  # transactions begin where we say, not where sqlite3 guesses
            connection.execute(f"PRAGMA journal_mode={self.mode}")
            connection.execute("PRAGMA synchronous=FULL")

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            if watched and self._made and not connection.info.get("watched"):
                plain = connection.connection.driver_connection
                assert isinstance(plain, sqlite3.Connection)
                self.journal.watch(plain)
                connection.info["watched"] = True
            connection.exec_driver_sql(begin)
            if watched and self.host is not None:
                self.host.check()

        return engine

    def watch(self) -> Watch:
        """A connection that only looks."""
        return SqliteWatch(self.path)

    def sole(self) -> Sole:
        """Nothing more than the lock in the home."""
        return Ours()

    def look(self, home: Path) -> None:
        """An empty file beside jobs is no new home, and a journal that knows more than its database is no joke."""
        if self.host is not None:
            self.host.take()
        there = self.path.exists() and self.path.stat().st_size
        if not there and (self.journal.path.exists() or any((home / "jobs").glob("*/job.json"))):
            said = "empty" if self.path.exists() else "gone"
            raise Unavailable(f"The database in {home} is {said}, but its records and jobs are here.", hint=REPAIR)
        noted = self.journal.last()
        if there and noted > self._counted():
            raise Unavailable(f"The database in {home} has lost its last commits: its journal has them.", hint=REPAIR)

    def _counted(self) -> int:
        """The number of the last commit that the journal should know."""
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_S)) as connection:
                row = connection.execute("SELECT value FROM meta WHERE key = ?", (NUMBER,)).fetchone()
        except sqlite3.DatabaseError as error:
            if "no such table" in str(error):
                return 0
            raise OSError(str(error)) from error
        return int(row[0]) if row else 0

    def made(self) -> None:
        """Keep it private, and note from now on what changes."""
        self.path.chmod(0o600)
        self._made = self.noted

    def committing(self, tx: Connection) -> Callable[[], None] | None:
        """Keep a journal of the records."""
        if self.host is not None:
            self.host.check()
        return self.journal.committing(tx) if self._made else None

    def close(self) -> None:
        """Finish the backup."""
        self.journal.close()
        if self.host is not None:
            self.host.close()


class SqliteWatch:
    """SQLite counts the commits of others itself."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)

    def version(self) -> int:
        """What SQLite counts."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class Ours:
    """One host writes here, and the lock in its home is enough."""

    def take(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """There is nothing to let go of."""
