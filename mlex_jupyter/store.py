"""The database: the truth of intents. What one commit here acknowledged is not lost.

Reads and writes are functions of a
connection that run in worker threads; a write is one immediate transaction, durable before the caller hears of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, update
from sqlalchemy.exc import DatabaseError, OperationalError

from mlex_jupyter.errors import Invalid, MlexError, Unavailable
from mlex_jupyter.files import on_network
from mlex_jupyter.settings import Settings
from mlex_jupyter.tables import meta, metadata

T = TypeVar("T")
SCHEMA_VERSION = 1
LOOK_EVERY_S = 0.02


class Store:
    """One home's database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal = "DELETE" if on_network(path.parent) else "WAL"
        self._reader = self._engine("BEGIN")
        self._writer = self._engine("BEGIN IMMEDIATE")
        self._read_threads = ThreadPoolExecutor(4, "mlex-read")
        self._write_thread = ThreadPoolExecutor(1, "mlex-write")
        self._watch: sqlite3.Connection | None = None

    @classmethod
    def open(cls, settings: Settings) -> Store:
        """Open the home's database; make it where there is none."""
        try:
            settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            store = cls(settings.home / "mlex.db")
            store._migrate()
            store.path.chmod(0o600)
        except (OSError, DatabaseError) as error:
            cause = getattr(error, "orig", None) or error
            raise Unavailable(
                f"The database in {settings.home} cannot be opened: {cause}.",
                hint="Look at the folder's rights and free space, or choose another with MLEX_HOME.",
            ) from error
        return store

    def _engine(self, begin: str) -> Engine:
        engine = create_engine(f"sqlite:///{self.path}", connect_args={"timeout": 30, "check_same_thread": False})

        @event.listens_for(engine, "connect")
        def configure(connection: sqlite3.Connection, _: object) -> None:
            connection.isolation_level = None  # transactions begin where we say, not where sqlite3 guesses
            connection.execute(f"PRAGMA journal_mode={self._journal}")
            connection.execute("PRAGMA synchronous=FULL")

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    def _migrate(self) -> None:
        """Bring the tables to this version, in one transaction."""
        with self._writer.begin() as tx:
            metadata.create_all(tx)
            found = tx.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar()
            if found is None:
                tx.execute(insert(meta), [{"key": "schema", "value": SCHEMA_VERSION}, {"key": "epoch", "value": 0}])
            elif found > SCHEMA_VERSION:
                raise Unavailable(
                    f"The database in {self.path.parent} was made by a newer version of MLEx.",
                    hint="Update this installation: pip install -U mlex-jupyter",
                )

    # ------------------------------------------------------------ reading and writing

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a function over one consistent view."""
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, self.read_now, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run a function in one transaction, committed durably before this returns; all of it or nothing."""
        future = asyncio.get_running_loop().run_in_executor(self._write_thread, self.write_now, work)
        return await asyncio.shield(future)

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """`read`, for code that has no event loop."""
        return self._run(self._reader, work)

    def write_now(self, work: Callable[[Connection], T]) -> T:
        """`write`, for code that has no event loop."""
        return self._run(self._writer, work)

    def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        try:
            with engine.begin() as tx:
                return work(tx)
        except OperationalError as error:
            raise _in_words(error) from error
        except OverflowError as error:
            raise Invalid("A number is too large: the database's have 64 bits.") from error

    def version(self) -> int:
        """A number that changes when anybody commits; cheap enough to be asked forty times a second."""
        if self._watch is None:
            self._watch = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    async def changed(self, within_s: float) -> None:
        """Wait for somebody's commit, but no longer than this."""
        before, until = self.version(), time.monotonic() + within_s
        while self.version() == before and time.monotonic() < until:
            await asyncio.sleep(LOOK_EVERY_S)

    def close(self) -> None:
        """Let go of files and threads."""
        self._write_thread.shutdown()
        self._read_threads.shutdown()
        self._reader.dispose()
        self._writer.dispose()
        if self._watch is not None:
            self._watch.close()


def _in_words(error: OperationalError) -> MlexError:
    text = str(error.orig)
    if "full" in text:
        return Unavailable("The disk is full: nothing was saved.", hint="Free some space and do it again.")
    if "locked" in text or "busy" in text:
        return Unavailable("The database is busy: nothing was saved.", hint="Do it again in a moment.")
    return Unavailable(f"The database does not work: {text}.", hint="Run `mlex doctor`.")


def next_epoch(tx: Connection) -> int:
    """Begin a new supervisor's reign; what an earlier one still writes is refused from here on."""
    tx.execute(update(meta).where(meta.c.key == "epoch").values(value=meta.c.value + 1))
    return current_epoch(tx)


def current_epoch(tx: Connection) -> int:
    """The reign that holds now."""
    return int(tx.execute(select(meta.c.value).where(meta.c.key == "epoch")).scalar_one())
