"""Rows as they were: what an older database still holds, and what the journal noted since, put into a new one."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import LargeBinary, Table

from mlex_jupyter.store.journal import STANDS, Journal, key_of
from mlex_jupyter.store.tables import jobs, meta, metadata

DERIVED = ("dataset_index", "dataset_terms", "edges", "stems", "zoo_index", "zoo_metrics")
"""Tables that are made again from the others, once somebody asks for them."""
MARK = "indexed"
"""The column that says whether a row is in such a table: no row is, at first."""
BEYOND = 1_000_000
"""So far above every id that is known do new events begin: whoever follows has seen none of them."""


def take_rows(new: sqlite3.Connection, old: Path, unread: list[str]) -> None:
    """All rows of an older database that can be read, from both ends of each table."""
    if not old.exists() or not old.stat().st_size:
        return
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as database:
        database.text_factory = lambda said: said.decode(errors="strict")
        for table in metadata.sorted_tables:
            if table.name in DERIVED:
                continue
            try:
                there = [row[1] for row in database.execute(f"PRAGMA table_info({table.name})")]
            except (sqlite3.Error, UnicodeDecodeError) as error:
                unread.append(f"{old.name}: {error}")
                return
            columns = [name for name in there if name in table.c and name != MARK]
            if columns:
                for row in _rows(database, table, columns, f"{old.parent.name}/{old.name}", unread):
                    values = dict(zip(columns, row, strict=True))
                    if table is not meta or values["key"] == "epoch":
                        _replace(new, table, values)


def _rows(
    database: sqlite3.Connection, table: Table, columns: list[str], where: str, unread: list[str]
) -> Iterator[tuple[Any, ...]]:
    named = ", ".join(f'"{name}"' for name in columns)
    for order in ("ASC", "DESC"):
        try:
            for row in database.execute(f"SELECT {named} FROM {table.name} ORDER BY rowid {order}"):
                if _sound(table, columns, row):
                    yield row
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if order == "ASC":
                unread.append(f"{where}: part of {table.name}: {error}")
            continue
        return


def _sound(table: Table, columns: list[str], row: tuple[Any, ...]) -> bool:
    """Whether a row is one: what must be there is, and JSON is JSON."""
    for name, value in zip(columns, row, strict=True):
        column = table.c[name]
        if value is None:
            if not column.nullable:
                return False
        elif str(column.type) == "JSON":
            try:
                from_json(value)
            except (ValueError, TypeError):
                return False
    return True


def _replace(new: sqlite3.Connection, table: Table, row: dict[str, Any]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    holes = ", ".join("?" * len(row))
    with contextlib.suppress(sqlite3.IntegrityError):  # a row without what this version needs
        new.execute(f"INSERT OR REPLACE INTO {table.name} ({names}) VALUES ({holes})", list(row.values()))


def take_journal(new: sqlite3.Connection, journal: Journal) -> None:
    """All changes that the journal tells of, in the order of their commits."""
    last, number = 0, 0
    for line in journal.lines():
        last, number = max(last, line.get("last", 0)), line["n"]
        table = metadata.tables.get(line["table"])
        if table is not None:
            _take_line(new, table, line["key"], line["row"])
    known = new.execute("SELECT max(id) FROM events").fetchone()[0] or 0
    new.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
    new.execute("INSERT INTO sqlite_sequence VALUES ('events', ?)", (max(last, known) + BEYOND,))
    new.execute("INSERT OR REPLACE INTO meta VALUES ('journal', ?)", (number,))


def _take_line(new: sqlite3.Connection, table: Table, key: dict[str, Any], row: dict[str, Any] | None) -> None:
    where = " AND ".join(f'"{part}" = ?' for part in key_of(table))
    named = [key.get(part) for part in key_of(table)]
    if row is None:
        new.execute(f"DELETE FROM {table.name} WHERE {where}", named)
        return
    values = {name: _as_kept(table, name, value) for name, value in row.items() if name in table.c and name != MARK}
    if new.execute(f"SELECT 1 FROM {table.name} WHERE {where}", named).fetchone():
        if table is jobs:  # how it was when it was asked for is older than what is there
            values = {name: values[name] for name in STANDS}
        changes = ", ".join(f'"{name}" = ?' for name in values)
        with contextlib.suppress(sqlite3.IntegrityError):
            new.execute(f"UPDATE {table.name} SET {changes} WHERE {where}", [*values.values(), *named])
    else:
        _replace(new, table, values)


def _as_kept(table: Table, name: str, value: Any) -> Any:
    """A value of the journal as the database has it."""
    kind = table.c[name].type
    if value is None:
        return None
    if isinstance(kind, LargeBinary):
        return bytes.fromhex(value)
    return to_json(value).decode() if str(kind) == "JSON" else value
