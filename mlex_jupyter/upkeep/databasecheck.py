"""What `mlex doctor` says of the database: which one it is, whether it is whole, and how old its backup is."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy import make_url

from mlex_jupyter.errors import MlexError
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.hostlease import HostLease
from mlex_jupyter.store.sqlite import REPAIR, Sqlite, damaged
from mlex_jupyter.types import Check

PATIENCE_S = 4.0


async def database_check(settings: Settings) -> Check:
    """Which database it is, whether it is whole, and how old its backup is."""
    look = _sqlite if settings.database is None else _postgres
    try:
        return await asyncio.to_thread(look, settings)
    except MlexError as error:
        return Check(name="Database", ok=False, says=error.message, mend=error.hint)


def _postgres(settings: Settings) -> Check:
    store = Store.open(settings)
    try:
        version = store.read_now(lambda tx: str(tx.exec_driver_sql("SHOW server_version").scalar()))
    finally:
        store.close()
    where = make_url(settings.database or "").render_as_string(hide_password=True)
    return Check(name="Database", ok=True, says=f"PostgreSQL {version} at {where}; it has backups of its own")


def _sqlite(settings: Settings) -> Check:
    home = settings.home
    try:
        with tempfile.TemporaryDirectory(dir=home) as folder:
            _try_sqlite(Path(folder) / "try.db")
        database = Sqlite(home / "mlex.db", noted=False)
        database.look(home)
        whole = _whole(database.path)
    except (OSError, sqlite3.Error) as error:
        if damaged(str(error)):
            return Check(name="Database", ok=False, says=f"{home / 'mlex.db'} is damaged: {error}.", mend=REPAIR)
        mend = "Choose a folder on a local disk: export MLEX_HOME=…"
        return Check(name="Database", ok=False, says=f"SQLite cannot write in {home}: {error}.", mend=mend)
    if whole is not None:
        return Check(name="Database", ok=False, says=f"{database.path} is damaged: {whole}.", mend=REPAIR)
    age = database.journal.age_s()
    backup = "no backup yet" if age is None else f"backup {age / 60:.0f} min old"
    parts = [f"SQLite {sqlite3.sqlite_version}", f"journal {database.mode}", backup]
    if holder := HostLease(home).holder():
        parts.append(f"written from {holder['host']}")
    return Check(name="Database", ok=True, says=", ".join(parts))


def _try_sqlite(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (1)")
        database.commit()


def _whole(path: Path) -> str | None:
    """What SQLite finds wrong with a database, or None."""
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE_S)) as database:
        found = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if found == "ok" else found.splitlines()[-1]
