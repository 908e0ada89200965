"""The journal: what each commit changed in the records, beside the database, so that a broken one can be made anew.

    <home>/records.jsonl      a line a changed row: {"n": 12, "last": 345, "table": "datasets", "key": …, "row": …}
    <home>/strokes.jsonl      the same of what is painted: drafts, their tiles, and what can be taken back
    <home>/mlex.db.backup     the whole database, as it was an hour ago at most; what it holds leaves the journal

Lines are noted by triggers of the writing connection, so nobody who writes needs to think of them, and appended once
the commit holds. They are numbered inside the transaction: a journal that knows a higher number than the database has
seen commits that the database lost.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, LargeBinary, Table
from sqlalchemy.types import JSON

from mlex_jupyter.files import whole_file
from mlex_jupyter.store.journalfile import JournalFile
from mlex_jupyter.store.tables import jobs, metadata

log = logging.getLogger(__name__)
JOURNAL, STROKES, BACKUP = "records.jsonl", "strokes.jsonl", "mlex.db.backup"
BACKUP_EVERY_S = 3600.0
LOOK_EVERY_S = 60.0
STROKES_BYTES = 1 << 26
"""Once more was painted there is a backup at once; where that cannot be made, four times as much is kept at most."""
NUMBER = "journal"
PAINTED = ("label_tiles", "label_slices", "label_changes", "label_strokes", "label_drafts")
"""The tables of drafts; the last has the smallest rows, and its line comes last."""
MOVES = ("state", "asked", "cancel", "attempt", "native_id")
"""The columns of a job whose change is noted; what a run says is in its folder."""
SAID = ("reason", "message", "hint", "cancel_reason")
STANDS = (*MOVES, *SAID, "exit_code", "vanished", "failures", "not_before", "started", "ended")
"""What is then said of it."""


def key_of(table: Table) -> tuple[str, ...]:
    """The columns that name a row."""
    if table.name == "labels":
        return ("id", "version")
    return ("id",) if table is jobs else tuple(table.primary_key.columns.keys())


def kept_tables() -> list[Table]:
    """The tables that cannot be made from anything else: those with records, those that say so, and drafts."""
    said = [table for table in metadata.sorted_tables if "record" in table.c or table.info.get("journal")]
    return [*said, *(metadata.tables[name] for name in PAINTED)]


class Journal:
    """One home's."""

    def __init__(self, home: Path) -> None:
        self.path = home / JOURNAL
        self._records = JournalFile(self.path)
        self._strokes = JournalFile(home / STROKES)
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
        query = "SELECT tbl, row, max(new), max(gone) FROM touched GROUP BY tbl, row, gone"
        touched = tx.exec_driver_sql(query).all()
        if not touched:
            return self.back_up_when_due if self._due() else None
        tx.exec_driver_sql("DELETE FROM touched")
        tx.exec_driver_sql(f"INSERT INTO meta VALUES ('{NUMBER}', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1")
        number = tx.exec_driver_sql(f"SELECT value FROM meta WHERE key = '{NUMBER}'").scalar()
        last = tx.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'events'").scalar() or 0
        told: dict[bool, list[str]] = {False: [], True: []}
        for name, line in [*_gone(touched), *self._changed(tx, touched)]:
            told[name in PAINTED].append(f'{{"n": {number}, "last": {last}, {line}}}\n')
        records, strokes = ("".join(told[painted]).encode() for painted in (False, True))
        return lambda: self._append(records, strokes)

    def _changed(self, tx: Connection, touched: Sequence[Any]) -> Iterator[tuple[str, str]]:
        rows: dict[tuple[str, int], list[int]] = {}
        for name, row, new, _ in touched:
            rows.setdefault((name, new), []).append(row)
        for table in [jobs, *kept_tables()]:
            for new in (0, 1):
                if found := rows.get((table.name, new)):
                    yield from ((table.name, line) for line in _rows(tx, table, found, bool(new)))

    def _append(self, records: bytes, strokes: bytes) -> None:
        much = False
        try:
            if records:
                self._records.append(records)
            if strokes:
                much = self._strokes.append(strokes, 4 * STROKES_BYTES) > STROKES_BYTES
        except OSError as error:  # the commit holds; the next backup has what is missing here
            log.warning("%s could not be written: %s", self.path, error)
        if (much and not self._at_work()) or self._due():
            self.back_up_when_due()

    def _at_work(self) -> bool:
        return self._backing_up is not None and self._backing_up.is_alive()

    # ------------------------------------------------------------ reading

    def lines(self) -> list[dict[str, Any]]:
        """All that was noted, in the order of the commits; a line that is not whole is none."""
        return sorted([*self._records.lines(), *self._strokes.lines()], key=lambda line: line["n"])

    def last(self) -> int:
        """The highest number of a commit at the end of the journal."""
        return max(self._records.last(), self._strokes.last())

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
            for file in (self._records, self._strokes):
                file.drop_before(number)
        except (OSError, sqlite3.Error) as error:  # the database itself is well, as far as anybody knows
            log.warning("%s could not be made: %s", self.backup, error)


def _gone(touched: Sequence[Any]) -> Iterator[tuple[str, str]]:
    for name, _, _, gone in touched:
        if gone is not None:
            yield name, f'"table": "{name}", "key": {gone}, "row": null'


def _rows(tx: Connection, table: Table, rows: Sequence[int], new: bool) -> Iterator[str]:
    """What these rows are now, put into words by SQLite itself; of a job that is known, only what moves."""
    columns = table.c if new or table is not jobs else [table.c[name] for name in ("id", *STANDS)]
    words = ", ".join(f"'{part.name}', {_in_words(part)}" for part in columns)
    key = ", ".join(f"'{part}', {part}" for part in key_of(table))
    for begin in range(0, len(rows), 500):
        some = ", ".join(map(str, rows[begin : begin + 500]))
        query = f"SELECT json_object({key}), json_object({words}) FROM {table.name} WHERE rowid IN ({some})"
        for named, row in tx.exec_driver_sql(query):
            yield f'"table": "{table.name}", "key": {named}, "row": {row}'


def _in_words(part: Column[Any]) -> str:
    """A column as JSON can hold it: bytes as hexadecimal digits."""
    if isinstance(part.type, LargeBinary):
        return f'CASE WHEN "{part.name}" IS NULL THEN NULL ELSE hex("{part.name}") END'
    return f'json("{part.name}")' if isinstance(part.type, JSON) else f'"{part.name}"'


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
