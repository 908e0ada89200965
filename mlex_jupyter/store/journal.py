"""The journal: what each commit changed in the records, beside the database, so that a broken one can be made anew.

    <home>/records.jsonl      a line a changed row: {"n": 12, "last": 345, "table": "datasets", "key": …, "row": …}
    <home>/mlex.db.backup     the whole database, as it was an hour ago at most; what it holds leaves the journal

Lines are noted by triggers of the writing connection, so nobody who writes needs to think of them, and appended once
the commit holds. They are numbered inside the transaction: a journal that knows a higher number than the database has
seen commits that the database lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection, Table
from sqlalchemy.types import JSON

from mlex_jupyter.files import whole_file
from mlex_jupyter.store.tables import jobs, metadata

log = logging.getLogger(__name__)
JOURNAL, BACKUP = "records.jsonl", "mlex.db.backup"
BACKUP_EVERY_S = 3600.0
LOOK_EVERY_S = 60.0
NUMBER = "journal"
MOVES = ("state", "asked", "cancel", "attempt", "native_id")
"""The columns of a job whose change is noted; what a run says is in its folder."""
STANDS = (*MOVES, "reason", "message", "hint", "exit_code", "vanished", "failures", "not_before", "started", "ended")
"""What is then said of it."""


def key_of(table: Table) -> tuple[str, ...]:
    """The columns that name a row."""
    if table.name == "labels":
        return ("id", "version")
    return ("id",) if table is jobs else tuple(table.primary_key.columns.keys())


def kept_tables() -> list[Table]:
    """The tables that cannot be made from anything else: those with records, and those that say so."""
    return [table for table in metadata.sorted_tables if "record" in table.c or table.info.get("journal")]


class Journal:
    """One home's."""

    def __init__(self, home: Path) -> None:
        self.path = home / JOURNAL
        self.backup = home / BACKUP
        self._database = home / "mlex.db"
        self._looked = 0.0
        self._backing_up: threading.Thread | None = None

    # ------------------------------------------------------------ noting

    def watch(self, connection: sqlite3.Connection) -> None:
        """Have this connection note the rows that it changes."""
        connection.execute("CREATE TEMP TABLE touched (tbl TEXT, row INTEGER, new INTEGER, gone TEXT)")
        for table in [*kept_tables(), jobs]:
            name = table.name
            for when, new in (("INSERT", 1), (f"UPDATE OF {', '.join(MOVES)}" if table is jobs else "UPDATE", 0)):
                connection.execute(
                    f"CREATE TEMP TRIGGER note_{name}_{new} AFTER {when} ON main.{name} "
                    f"BEGIN INSERT INTO touched VALUES ('{name}', NEW.rowid, {new}, NULL); END"
                )
            key = ", ".join(f"'{part}', OLD.{part}" for part in key_of(table))
            connection.execute(
                f"CREATE TEMP TRIGGER note_{name}_gone AFTER DELETE ON main.{name} "
                f"BEGIN INSERT INTO touched VALUES ('{name}', OLD.rowid, 0, json_object({key})); END"
            )

    def committing(self, tx: Connection) -> Callable[[], None] | None:
        """What is to be done once this transaction is committed; None where it changed no record."""
        told = "SELECT tbl, row, max(new), max(gone) FROM touched GROUP BY tbl, row, gone"
        touched = tx.exec_driver_sql(told).all()
        if not touched:
            return self.back_up_when_due if self._due() else None
        tx.exec_driver_sql("DELETE FROM touched")
        tx.exec_driver_sql(f"INSERT INTO meta VALUES ('{NUMBER}', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1")
        number = tx.exec_driver_sql(f"SELECT value FROM meta WHERE key = '{NUMBER}'").scalar()
        last = tx.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'events'").scalar() or 0
        said = [*_gone(touched)]
        for table in [*kept_tables(), jobs]:
            for new in (0, 1):
                rows = [row for name, row, begun, _ in touched if (name, begun) == (table.name, new)]
                said += _rows(tx, table, rows, bool(new))
        lines = [f'{{"n": {number}, "last": {last}, {line}}}\n' for line in said]
        return lambda: self._append("".join(lines).encode())

    def _append(self, lines: bytes) -> None:
        try:
            with self._locked() as file:
                os.write(file, lines)
        except OSError as error:  # the commit holds; the next backup has what is missing here
            log.warning("%s could not be written: %s", self.path, error)
        if self._due():
            self.back_up_when_due()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    # ------------------------------------------------------------ reading

    def lines(self) -> list[dict[str, Any]]:
        """All that was noted, in the order of the commits; a line that is not whole is none."""
        try:
            said = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = [line for line in map(_parse, said) if line is not None]
        return sorted(found, key=lambda line: line["n"])

    def last(self) -> int:
        """The highest number of a commit at the end of the journal."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - (1 << 16)))
                said = file.read().splitlines()
        except FileNotFoundError:
            return 0
        return max((line["n"] for line in map(_parse, said) if line is not None), default=0)

    # ------------------------------------------------------------ backing up

    def age_s(self) -> float | None:
        """How old the backup is, or None where there is none."""
        try:
            return max(0.0, time.time() - self.backup.stat().st_mtime)
        except FileNotFoundError:
            return None

    def _due(self) -> bool:
        if time.monotonic() - self._looked < LOOK_EVERY_S and self._looked:
            return False
        self._looked = time.monotonic()
        age = self.age_s()
        return age is None or age > BACKUP_EVERY_S

    def back_up_when_due(self) -> None:
        """Copy the database beside it, in a thread: writers go on meanwhile."""
        self._backing_up = threading.Thread(target=self.back_up, name="mlex-backup")
        self._backing_up.start()

    def close(self) -> None:
        """Wait for a backup that has begun."""
        if self._backing_up is not None:
            self._backing_up.join()

    def back_up(self) -> None:
        """Make a whole new backup, and drop from the journal what it holds."""
        try:
            with whole_file(self.backup) as beside:
                beside.touch(0o600)
                number = _copy(self._database, beside)
            with self._locked() as file:
                size = os.fstat(file).st_size
                said = os.pread(file, size, 0).splitlines(keepends=True)
                left = [line for line in said if (found := _parse(line)) is not None and found["n"] >= number]
                os.ftruncate(file, 0)
                os.write(file, b"".join(left))
        except (OSError, sqlite3.Error) as error:  # the database itself is well, as far as anybody knows
            log.warning("%s could not be made: %s", self.backup, error)


def _gone(touched: Sequence[Any]) -> Iterator[str]:
    for name, _, _, gone in touched:
        if gone is not None:
            yield f'"table": "{name}", "key": {gone}, "row": null'


def _rows(tx: Connection, table: Table, rows: Sequence[int], new: bool) -> Iterator[str]:
    """What these rows are now, put into words by SQLite itself; of a job that is known, only what moves."""
    columns = table.c if new or table is not jobs else [table.c[name] for name in ("id", *STANDS)]
    words = ", ".join(
        f"'{part.name}', " + (f'json("{part.name}")' if isinstance(part.type, JSON) else f'"{part.name}"')
        for part in columns
    )
    key = ", ".join(f"'{part}', {part}" for part in key_of(table))
    for begin in range(0, len(rows), 500):
        some = ", ".join(map(str, rows[begin : begin + 500]))
        query = f"SELECT json_object({key}), json_object({words}) FROM {table.name} WHERE rowid IN ({some})"
        for named, row in tx.exec_driver_sql(query):
            yield f'"table": "{table.name}", "key": {named}, "row": {row}'


def _copy(database: Path, to: Path) -> int:
    with (
        contextlib.closing(sqlite3.connect(database, timeout=30)) as source,
        contextlib.closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)
        found = target.execute("PRAGMA quick_check(1)").fetchone()
        if found != ("ok",):
            raise sqlite3.DatabaseError(f"the copy is damaged: {found}")
        target.execute("PRAGMA journal_mode=DELETE")
        row = target.execute("SELECT value FROM meta WHERE key = ?", (NUMBER,)).fetchone()
    return int(row[0]) if row else 0


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        found = from_json(line)
    except ValueError:
        return None
    whole = isinstance(found, dict) and {"n", "table", "key", "row"} <= found.keys()
    return found if whole and isinstance(found["n"], int) else None
