"""A database made anew from all that stands beside it: `mlex doctor --repair`.

In this order, each telling the rows of the one before what it knows better: the backup, whatever of the broken
database can still be read, the journal, and the job folders, which say how runs ended. The new database is made
beside the old one and takes its place whole; the old one is kept in <home>/broken/. Killed in the middle and begun
again, it comes to the same. What is done stays done: no job that ended begins again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from mlex_jupyter import lease
from mlex_jupyter.catalog import Catalog
from mlex_jupyter.errors import Conflict, Invalid, MlexError, of_system
from mlex_jupyter.files import sync_folder
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.journal import Journal
from mlex_jupyter.store.sqlite import Sqlite
from mlex_jupyter.store.tables import metadata
from mlex_jupyter.upkeep.folders import take_job
from mlex_jupyter.upkeep.oldrows import take_journal, take_rows

FILES = ("mlex.db", "mlex.db-wal", "mlex.db-shm", "mlex.db-journal")
NEW = ".mlex.db.new"


class Repaired(NamedTuple):
    """What came of it."""

    kept: dict[str, int]
    """How many rows there are now, by table."""
    unread: list[str]
    """What could not be read, in words."""
    broken: Path
    """Where the old database is."""


def repair(settings: Settings) -> Repaired:
    """Make the home's database anew; a Conflict while anybody has it open."""
    if settings.database is not None:
        raise Invalid(
            "The database is in PostgreSQL, which has backups of its own.", hint="Restore it with pg_restore."
        )
    lock = lease.take(settings)
    if lock is None:
        raise Conflict("The supervisor is at work on this home.", hint="Wait until it is gone, or end it.")
    try:
        if users := in_use(settings.home):
            named = ", ".join(users)
            raise Conflict(f"The database is open in {named}.", hint="End that first; runs may go on meanwhile.")
        return _repair(settings)
    except OSError as error:
        raise of_system(error) from error
    finally:
        os.close(lock)


def in_use(home: Path) -> list[str]:
    """The processes of this host that have the home's database open."""
    mine = {str((home / name).resolve()) for name in FILES}
    return [_named(process) for process in Path("/proc").glob("[0-9]*") if mine & set(_opened(process))]


def _opened(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # it is gone, or somebody else's
        for file in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                yield os.readlink(file)


def _named(process: Path) -> str:
    with contextlib.suppress(OSError):
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return f"process {process.name} ({command.strip()[:60]})"
    return f"process {process.name}"


def _repair(settings: Settings) -> Repaired:
    home = settings.home
    broken = _put_aside(home)
    new = home / NEW
    for name in (NEW, f"{NEW}-wal", f"{NEW}-shm", f"{NEW}-journal"):
        (home / name).unlink(missing_ok=True)
    unread: list[str] = []
    store = Store.over(Sqlite(new, noted=False))
    try:
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as plain:
            plain.execute("PRAGMA synchronous=OFF")
            plain.execute("BEGIN")
            take_rows(plain, home / "mlex.db.backup", unread)
            take_rows(plain, broken / "mlex.db", unread)
            take_journal(plain, Journal(home))
            plain.execute("COMMIT")
        catalog, whole = Catalog(store, settings), not any("events" in said for said in unread)
        for folder in sorted((home / "jobs").glob("*/")):
            try:
                store.write_now(partial(take_job, catalog=catalog, folder=JobFolder(folder), whole=whole))
            except (MlexError, ValueError, OSError) as error:
                unread.append(f"{folder.name}: {getattr(error, 'message', error)}")
        kept = store.read_now(lambda tx: {name: _count(tx, name) for name in ("jobs", "datasets", "labels", "models")})
    finally:
        store.close()
    _put_in_place(home, new)
    Journal(home).back_up()
    return Repaired(kept, unread, broken)


def _count(tx: Connection, name: str) -> int:
    return int(tx.execute(select(func.count()).select_from(metadata.tables[name])).scalar_one())


def _put_aside(home: Path) -> Path:
    """Copies of what is there, before anything is touched."""
    broken = home / "broken" / time.strftime("%Y%m%d-%H%M%S")
    broken.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in FILES:
        if (home / name).exists() and not name.endswith("-shm"):
            shutil.copy2(home / name, broken / name)
    return broken


def _put_in_place(home: Path, new: Path) -> None:
    """The logs of the old database go first: SQLite would play them into the new one."""
    with contextlib.closing(sqlite3.connect(new)) as database:
        database.execute("PRAGMA journal_mode=DELETE")  # all of it in one file
    with open(new, "rb") as file:
        os.fsync(file.fileno())
    for name in FILES[1:]:
        (home / name).unlink(missing_ok=True)
    os.replace(new, home / "mlex.db")
    sync_folder(home)
