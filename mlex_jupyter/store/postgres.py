"""PostgreSQL: a server that several hosts write to, one at a time, and that tells of commits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url

from mlex_jupyter.errors import Unavailable
from mlex_jupyter.store.base import BUSY_S, Sole, Watch, decode, encode

if TYPE_CHECKING:
    import psycopg

WRITER, SUPERVISOR = "mlex writer", "mlex supervisor"
CHANNEL = "mlex"
AGAIN_S = 1.0
"""How soon a server that does not answer is asked again."""


class Postgres:
    """A server that several hosts write to."""

    name = "PostgreSQL"
    several = True
    at_hand = False

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
                json_serializer=encode,
                json_deserializer=decode,
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
