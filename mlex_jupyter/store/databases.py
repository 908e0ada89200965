"""Where the rows lie: SQLite in the home, or PostgreSQL. What differs between the two is here and nowhere else.

Both have one writer at a time: SQLite by its nature, PostgreSQL by a lock that every writing transaction takes first.
So ids are committed in their order, and a name that was free when somebody looked is free when he takes it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from mlex_jupyter.errors import Invalid, Unavailable
from mlex_jupyter.files import on_network
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.hostlease import HostLease
from mlex_jupyter.store.journal import NUMBER, Journal

if TYPE_CHECKING:
    import psycopg

BUSY_S = 30
"""How long a writer waits for the others."""
WRITER, SUPERVISOR = "mlex writer", "mlex supervisor"
CHANNEL = "mlex"
AGAIN_S = 1.0
"""How soon a server that does not answer is asked again."""


class Watch(Protocol):
    """Notices commits."""

    def version(self) -> int:
        """A number that changes when anybody commits."""

    def close(self) -> None:
        """Look no longer."""


class Sole(Protocol):
    """A lock that the whole database knows, held as long as its process lives."""

    def take(self) -> bool:
        """Whether it is held now."""

    def close(self) -> None:
        """Let go."""


class Database(Protocol):
    """What the store needs of a database."""

    name: str

    def reader(self) -> Engine:
        """Transactions that see one consistent view."""

    def writer(self) -> Engine:
        """Transactions that are durable once committed, one at a time."""

    def watch(self) -> Watch:
        """Something that notices commits."""

    def sole(self) -> Sole:
        """What keeps the supervisors of other hosts waiting."""

    def look(self, home: Path) -> None:
        """Unavailable where what stands beside the database says that it lost something."""

    def made(self) -> None:
        """What is to be done once the tables are there."""

    def committing(self, tx: Connection) -> Callable[[], None] | None:
        """Asked before each commit: what is to be done once it holds."""

    def close(self) -> None:
        """Finish what goes on beside."""


REPAIR = "End what uses this home, then make it anew from what stands beside it: mlex doctor --repair"


def damaged(text: str) -> bool:
    """Whether this is what SQLite says of a file that is broken."""
    return any(word in text for word in ("malformed", "not a database", "disk I/O error"))


def database_of(settings: Settings) -> Database:
    """The one that the settings name."""
    if settings.database is None:
        return Sqlite(settings.home / "mlex.db")
    try:
        url = make_url(settings.database)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "postgresql":
        raise Invalid(
            "The setting database is no URL of a PostgreSQL.",
            hint="It looks like postgresql://USER:PASSWORD@HOST/NAME. Left out, the database is SQLite in the home.",
        )
    return Postgres(settings.database)


def _encode(value: Any) -> str:
    return to_json(value).decode()


def _decode(text: str) -> Any:
    """A value; None where a damaged row holds none, so that the rows beside it can be read."""
    try:
        return from_json(text)
    except ValueError:
        return None


# ---------------------------------------------------------------- SQLite


class Sqlite:
    """A file in the home; written from one host."""

    name = "SQLite"

    def __init__(self, path: Path, *, noted: bool = True) -> None:
        self.path = path
        self.noted = noted
        shared = on_network(path.parent)
        self.mode = "DELETE" if shared else "WAL"
        self.host = HostLease(path.parent) if shared and noted else None
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
            json_serializer=_encode,
            json_deserializer=_decode,
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


# ---------------------------------------------------------------- PostgreSQL


class Postgres:
    """A server that several hosts write to."""

    name = "PostgreSQL"

    def __init__(self, url: str) -> None:
        self.url = make_url(url).set(drivername="postgresql+psycopg")

    def reader(self) -> Engine:
        """Sees the database as it is at the first query, and writes nothing."""
        return self._engine().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def writer(self) -> Engine:
        """Each transaction takes the one writer's lock first, and tells those who watch when it is committed."""
        engine = self._engine()

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            connection.exec_driver_sql(
                f"SELECT pg_advisory_xact_lock({_key(WRITER)}), pg_notify('{CHANNEL}', current_schema())"
            )

        return engine

    def _engine(self) -> Engine:
        given = self.url.query.get("options", "")
        options = f"{given} -c lock_timeout={BUSY_S}s -c synchronous_commit=on"
        try:
            return create_engine(
                self.url,
                connect_args={"options": options, "connect_timeout": 10},
                json_serializer=_encode,
                json_deserializer=_decode,
                pool_pre_ping=True,
            )
        except ModuleNotFoundError as error:
            raise Unavailable(
                "PostgreSQL is asked for, and psycopg is not installed.", hint="pip install 'mlex-jupyter[postgres]'"
            ) from error

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of one's own, outside of the pools."""
        import psycopg

        plain = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(plain, autocommit=True, connect_timeout=2, keepalives_idle=10, keepalives_interval=5)

    def watch(self) -> Watch:
        """A session that listens."""
        return PostgresWatch(self)

    def sole(self) -> Sole:
        """A session that holds a lock."""
        return PostgresSole(self)

    def look(self, home: Path) -> None:
        """The server looks after that."""

    def made(self) -> None:
        """The server looks after its own files."""

    def committing(self, tx: Connection) -> Callable[[], None] | None:
        """It keeps a journal itself."""
        return None

    def close(self) -> None:
        """Nothing goes on beside."""


def _key(of: str) -> str:
    """The number of a lock, for each schema another."""
    return f"hashtextextended('{of} ' || current_schema(), 0)"


class PostgresWatch:
    """Listens to what writers notify; looking costs no query."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._heard = 0
        self._tried = -AGAIN_S

    def version(self) -> int:
        """How many notifications came; a moment after the commit that they tell of."""
        import psycopg

        with self._lock:
            try:
                self._listen()
            except psycopg.OperationalError:  # whoever reads now hears of it; this one listens again when it can
                self.close()
            return self._heard

    def _listen(self) -> None:
        if self._connection is None:
            if time.monotonic() - self._tried < AGAIN_S:
                return
            self._tried = time.monotonic()
            self._connection = self._database.connect()
            self._connection.execute(f"LISTEN {CHANNEL}")
            self._heard += 1  # whatever was said while nobody listened
        self._connection.pgconn.consume_input()
        while self._connection.pgconn.notifies() is not None:
            self._heard += 1

    def close(self) -> None:
        """Hear no more; asked again, it listens anew."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresSole:
    """A lock of a session: whoever is cut off from the server has lost it."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._connection: psycopg.Connection[Any] | None = None

    def take(self) -> bool:
        """Whether this session has it, or gets it now."""
        import psycopg

        try:
            if self._connection is None:
                self._connection = self._database.connect()
            row = self._connection.execute(f"SELECT pg_try_advisory_lock({_key(SUPERVISOR)})").fetchone()
        except psycopg.OperationalError:  # it does not answer: whatever was held is not
            self.close()
            return False
        return bool(row and row[0])

    def close(self) -> None:
        """End the session, and the lock with it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
