"""The database: the truth of intents. What one commit here acknowledged is not lost.

Reads and writes are functions of a connection that run in worker threads; only a glance does not. Writes that come at
once share one transaction, each behind a savepoint of its own; it is durable before any of their callers hears of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DatabaseError, DataError, OperationalError, PendingRollbackError

from mlex_jupyter.errors import Invalid, MlexError, Unavailable
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.base import Database, Watch
from mlex_jupyter.store.databases import database_of
from mlex_jupyter.store.migration import current, migrate
from mlex_jupyter.store.sqlite import REPAIR, damaged
from mlex_jupyter.store.tables import meta

T = TypeVar("T")
LOOK_EVERY_S = 0.02
EPOCH = "epoch"
"""Of the whole home; that of a host's own runs has the host's name behind it."""
TOGETHER = 200
"""Writes in one transaction, at most."""


class Store:
    """One home's database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._reader = database.reader()
        self._writer = database.writer()
        self._read_threads = ThreadPoolExecutor(4, "mlex-read")
        self._write_thread = ThreadPoolExecutor(1, "mlex-write")
        self._wishes: deque[tuple[Callable[[Connection], Any], Future[Any]]] = deque()
        self._watch: Watch | None = None

    @classmethod
    def open(cls, settings: Settings) -> Store:
        """Open the home's database; make it where there is none."""
        database = database_of(settings)
        try:
            settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            database.look(settings.home)
            return cls.over(database)
        except (OSError, DatabaseError) as error:
            cause = getattr(error, "orig", None) or error
            if settings.database is not None:
                raise Unavailable(f"PostgreSQL cannot be used: {cause}.", hint="Look at MLEX_DATABASE.") from error
            if damaged(str(cause)):
                raise Unavailable(f"The database in {settings.home} is damaged: {cause}.", hint=REPAIR) from error
            raise Unavailable(
                f"The database in {settings.home} cannot be opened: {cause}.",
                hint="Look at the folder's rights and free space, or choose another with MLEX_HOME.",
            ) from error

    @classmethod
    def over(cls, database: Database) -> Store:
        """Open a database, its tables as this version wants them."""
        store = cls(database)
        with store._reader.begin() as tx:
            ready = current(tx)
        if not ready:
            with store._writer.begin() as tx:
                migrate(tx)
        database.made()
        return store

    # ------------------------------------------------------------ reading and writing

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a function over one consistent view."""
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, self.read_now, work)

    async def glance(self, work: Callable[[Connection], T]) -> T:
        """`read`, for a row or two that are found by a key: at once, where the database is at hand."""
        return self.read_now(work) if self.database.at_hand else await self.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run a function in a transaction, committed durably before this returns; all of it or nothing."""
        return await asyncio.shield(asyncio.wrap_future(self._ask(work)))

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """`read`, for code that has no event loop."""
        try:
            with self._reader.begin() as tx:
                return work(tx)
        except Exception as error:
            raise _caused(in_words(error), error)  # noqa: B904

    def write_now(self, work: Callable[[Connection], T]) -> T:
        """`write`, for code that has no event loop."""
        return self._ask(work).result()

    def _ask(self, work: Callable[[Connection], T]) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # a caller that gives up does not undo the write
        self._wishes.append((work, future))
        self._write_thread.submit(self._write_together)
        return future

    def _write_together(self) -> None:
        """Do all that is wished for by now, in one transaction; whoever comes meanwhile shares the next."""
        wishes = [self._wishes.popleft() for _ in range(min(len(self._wishes), TOGETHER))]
        if not wishes:
            return  # an earlier call has done it
        answers: list[tuple[Future[Any], Any]] = []
        try:
            with self._writer.begin() as tx:
                for work, future in wishes:
                    if len(wishes) == 1:
                        answers.append((future, work(tx)))
                    else:
                        _behind_a_savepoint(tx, work, future, answers)
                afterwards = self.database.committing(tx)
        except BaseException as error:
            for _, future in wishes:
                if not future.done():
                    future.set_exception(_caused(in_words(error), error))
        else:
            if afterwards is not None:
                afterwards()
            for future, answer in answers:
                future.set_result(answer)

    # ------------------------------------------------------------ noticing

    def version(self) -> int:
        """A number that changes when anybody commits; cheap enough to be asked forty times a second."""
        if self._watch is None:
            self._watch = self.database.watch()
        return self._watch.version()

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
        self.database.close()
        if self._watch is not None:
            self._watch.close()


def _behind_a_savepoint(
    tx: Connection, work: Callable[[Connection], Any], future: Future[Any], answers: list[tuple[Future[Any], Any]]
) -> None:
    """Do one of several writes; what goes wrong with it is its own, unless it took the whole transaction with it."""
    tx.exec_driver_sql("SAVEPOINT one")
    try:
        answer = work(tx)
        tx.exec_driver_sql("RELEASE SAVEPOINT one")
    except Exception as error:
        # This fails where a full disk has ended the whole transaction: then nothing of it is kept.
        tx.exec_driver_sql("ROLLBACK TO SAVEPOINT one")
        future.set_exception(_caused(in_words(error), error))
    else:
        answers.append((future, answer))


def _caused(said: BaseException, cause: BaseException) -> BaseException:
    if said is not cause:
        said.__cause__ = cause
    return said


def in_words(error: BaseException) -> BaseException:
    """What the database says, as people understand it; anything else as it is."""
    if isinstance(error, OverflowError):
        return Invalid("A number is too large: the database's have 64 bits.")
    if isinstance(error, DataError):
        return Invalid("The database cannot keep this: a number is too large, or a text holds a zero byte.")
    if isinstance(error, OperationalError | PendingRollbackError) or type(error) is DatabaseError:
        return _trouble(str(getattr(error, "orig", error)))
    return error


def _trouble(text: str) -> MlexError:
    if "full" in text or "No space left" in text:
        return Unavailable("The disk is full: nothing was saved.", hint="Free some space and do it again.")
    if "readonly" in text or "read-only" in text:
        return Unavailable("The home is read-only: nothing was saved.", hint="Make it writable, or choose another.")
    if "locked" in text or "busy" in text or "lock timeout" in text:
        return Unavailable("The database is busy: nothing was saved.", hint="Do it again in a moment.")
    if damaged(text):
        return Unavailable(f"The database is damaged: {text}.", hint=REPAIR)
    return Unavailable(f"The database does not work: {text}.", hint="Run `mlex doctor`.")


def next_epoch(tx: Connection, of: str = EPOCH) -> int:
    """Begin a new supervisor's reign; what an earlier one still writes is refused from here on."""
    if not tx.execute(update(meta).where(meta.c.key == of).values(value=meta.c.value + 1)).rowcount:
        tx.execute(insert(meta).values(key=of, value=1))
    return current_epoch(tx, of)


def current_epoch(tx: Connection, of: str = EPOCH) -> int:
    """The reign that holds now."""
    return int(tx.execute(select(meta.c.value).where(meta.c.key == of)).scalar() or 0)
