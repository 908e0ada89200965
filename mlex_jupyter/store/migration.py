"""The tables as this version wants them: what an older one did not have yet is added, and nothing is taken away.

A new column is nullable or has a server_default, and what must be unique is an index; so every version that knows
fewer columns can go on writing.
"""

from __future__ import annotations

from zlib import crc32

from sqlalchemy import Connection, Table, insert, inspect, select, update
from sqlalchemy.engine import Inspector
from sqlalchemy.exc import DatabaseError
from sqlalchemy.schema import CreateColumn

from mlex_jupyter.errors import Unavailable
from mlex_jupyter.store.tables import meta, metadata

SCHEMA_VERSION = 1
TABLES = "tables"
"""The key of `meta` that says which tables were last made."""


def current(tx: Connection) -> bool:
    """Whether nothing is to be done; asked without a lock, by everybody who opens the home."""
    try:
        found = {row.key: row.value for row in tx.execute(select(meta))}
    except DatabaseError as error:
        if "no such table" not in str(error.orig) and "does not exist" not in str(error.orig):
            raise
        return False  # there is no such table yet
    return found.get("schema") == SCHEMA_VERSION and found.get(TABLES) == fingerprint()


def migrate(tx: Connection) -> None:
    """Bring the tables to this version, in somebody's one transaction."""
    inspector = inspect(tx)
    there = set(inspector.get_table_names())
    if meta.name in there:
        _refuse_a_newer_one(tx)
    for table in metadata.sorted_tables:
        if table.name in there:
            _add_columns(tx, inspector, table)
            _add_indexes(tx, inspector, table)
        else:
            table.create(tx)
    found = {row.key: row.value for row in tx.execute(select(meta))}
    for key, value in {"schema": SCHEMA_VERSION, "epoch": 0}.items():
        if key not in found:
            tx.execute(insert(meta).values(key=key, value=value))
    if TABLES in found:
        tx.execute(update(meta).where(meta.c.key == TABLES).values(value=fingerprint()))
    else:
        tx.execute(insert(meta).values(key=TABLES, value=fingerprint()))


def fingerprint() -> int:
    """A number for the names of all tables, columns and indexes."""
    names = [f"{table.name}.{part.name}" for table in metadata.sorted_tables for part in (*table.c, *table.indexes)]
    return crc32("\n".join(sorted(names)).encode())


def _refuse_a_newer_one(tx: Connection) -> None:
    found = tx.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar()
    if found is not None and found > SCHEMA_VERSION:
        raise Unavailable(
            "The database was made by a newer version of MLEx.",
            hint="Update this installation: pip install -U mlex-jupyter",
        )


def _add_columns(tx: Connection, inspector: Inspector, table: Table) -> None:
    there = {column["name"] for column in inspector.get_columns(table.name)}
    quoted = tx.dialect.identifier_preparer.format_table(table)
    for column in table.c:
        if column.name not in there:
            tx.exec_driver_sql(f"ALTER TABLE {quoted} ADD COLUMN {CreateColumn(column).compile(dialect=tx.dialect)}")


def _add_indexes(tx: Connection, inspector: Inspector, table: Table) -> None:
    there = {index["name"] for index in inspector.get_indexes(table.name)}
    for index in table.indexes:
        if index.name not in there:
            index.create(tx)
