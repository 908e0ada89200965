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
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Table, delete, func, insert, select, update

from mlex_jupyter import lease
from mlex_jupyter.catalog import Catalog
from mlex_jupyter.errors import Conflict, Invalid, MlexError, of_system
from mlex_jupyter.events import append, append_many
from mlex_jupyter.files import sync_folder
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.runevents import read_events, summary
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.databases import Sqlite
from mlex_jupyter.store.journal import STANDS, Journal, key_of
from mlex_jupyter.store.tables import Row, events, forgotten, jobs, labels, meta, metadata
from mlex_jupyter.types import Dataset, JobFile, JobState, Output, Result

FILES = ("mlex.db", "mlex.db-wal", "mlex.db-shm", "mlex.db-journal")
NEW = ".mlex.db.new"
DERIVED = ("dataset_terms", "edges", "stems", "zoo_index", "zoo_metrics")
"""Tables that are made again from the others, once somebody asks for them."""
KNOWN = frozenset(state.value for state in JobState)
FINAL = frozenset(state.value for state in JobState if state.final)
BEYOND = 1_000_000
"""So far above every id that is known do new events begin: whoever follows has seen none of them."""


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
            _take_rows(plain, home / "mlex.db.backup", unread)
            _take_rows(plain, broken / "mlex.db", unread)
            _take_journal(plain, Journal(home), unread)
            plain.execute("COMMIT")
        catalog, whole = Catalog(store, settings), not any("events" in said for said in unread)
        for folder in sorted((home / "jobs").glob("*/")):
            try:
                store.write_now(partial(_take_job, catalog=catalog, folder=JobFolder(folder), whole=whole))
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


# ---------------------------------------------------------------- rows as they were


def _take_rows(new: sqlite3.Connection, old: Path, unread: list[str]) -> None:
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
            columns = [name for name in there if name in table.c and name != "indexed"]
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


def _take_journal(new: sqlite3.Connection, journal: Journal, unread: list[str]) -> None:
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
    values = {
        name: to_json(value).decode() if str(table.c[name].type) == "JSON" and value is not None else value
        for name, value in row.items()
        if name in table.c
    }
    if new.execute(f"SELECT 1 FROM {table.name} WHERE {where}", named).fetchone():
        if table is jobs:  # how it was when it was asked for is older than what is there
            values = {name: values[name] for name in STANDS}
        changes = ", ".join(f'"{name}" = ?' for name in values)
        with contextlib.suppress(sqlite3.IntegrityError):
            new.execute(f"UPDATE {table.name} SET {changes} WHERE {where}", [*values.values(), *named])
    else:
        _replace(new, table, values)


# ---------------------------------------------------------------- what the folders say


def _take_job(tx: Connection, catalog: Catalog, folder: JobFolder, *, whole: bool) -> None:
    """One job: its row where there is none, how it ended, what it said, and what it was made from."""
    folder.check_owner()
    file = folder.job()
    _take_inputs(tx, catalog, file)
    row = tx.execute(select(jobs).where(jobs.c.id == file.id)).one_or_none()
    if row is None:
        tx.execute(insert(jobs), _row_of(folder, file))
        row = tx.execute(select(jobs).where(jobs.c.id == file.id)).one()
    changes = {name: value for name, value in _standing(folder, row).items() if value != row._mapping[name]}
    result = folder.result()
    if changes.get("state", row.state) == JobState.DONE.value and result is not None:
        changes |= _outcome(tx, catalog, result)
    told = {} if whole and not _untold(tx, folder, row, changes) else _retell(tx, folder, row, changes)
    if changes or told:
        tx.execute(update(jobs).where(jobs.c.id == file.id).values(**changes, **told))


def _take_inputs(tx: Connection, catalog: Catalog, file: JobFile) -> None:
    """The dataset and the label set that a job was made from, where nothing else knows of them."""
    if file.data is not None:
        _keep(tx, catalog, file.data)
    painted = file.labels
    if painted is not None and Path(painted.uri).exists():
        key = (labels.c.dataset == painted.dataset, labels.c.name == painted.name, labels.c.version == painted.version)
        if tx.execute(select(labels.c.id).where(*key)).first() is None:
            columns = painted.model_dump(include={"id", "dataset", "name", "version"})
            record = painted.model_dump(mode="json")
            tx.execute(insert(labels), {**columns, "record": record, "created": painted.created.timestamp()})


def _keep(tx: Connection, catalog: Catalog, dataset: Dataset) -> Dataset | None:
    """The dataset as it is registered; None where somebody has taken it off the list."""
    if tx.execute(select(forgotten.c.id).where(forgotten.c.id == dataset.id)).first() is not None:
        return None
    return catalog.insert(tx, dataset, unique_name=False)


def _row_of(folder: JobFolder, file: JobFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "owner": file.owner,
        "target": file.spec.target,
        "key": file.spec.key,
        "request": file.spec.model_dump(mode="json"),
        "file": file.model_dump(mode="json"),
        "state": JobState.WAITING.value,
        "submitted": (folder.path / "job.json").stat().st_mtime,
    }


def _standing(folder: JobFolder, row: Row) -> dict[str, Any]:
    """Where the job stands, as far as its folder knows better than its row."""
    word = _last_word(folder)
    attempts = [int(path.name) for path in (folder.path / "attempts").glob("*") if path.name.isdigit()]
    claimed = max((number for number in attempts if folder.claimed(number)), default=0)
    result = folder.result()
    if result is not None:
        ended = (folder.path / "result.json").stat().st_mtime
        done = {"state": JobState.DONE.value, "attempt": result.attempt, "exit_code": 0, "reason": None}
        return done | {"ended": row.ended or ended, "started": row.started or _began(folder, result.attempt)}
    newest = max(claimed, word.get("attempt", 0))
    settled = row.state in FINAL or row.asked > row.attempt  # it has ended, or somebody wants it to go on
    if row.attempt > newest or (row.attempt == newest and settled and row.state in KNOWN):
        return {}
    known = {"attempt": newest, "asked": max(row.asked, newest, 1)}
    if word.get("attempt") == newest and JobState(word["state"]).final:
        return known | _ended(folder, newest, word["state"])
    if newest == 0:
        return {} if row.state in KNOWN else {"state": JobState.WAITING.value}
    state = JobState.RUNNING if claimed == newest else JobState.QUEUED
    native = word.get("native_id") if word.get("attempt") == newest else None
    return known | {"state": state.value, "native_id": native, "started": row.started or _began(folder, newest)}


def _last_word(folder: JobFolder) -> dict[str, Any]:
    try:
        said = from_json((folder.path / "state.json").read_bytes())
        JobState(said["state"])
        return {"attempt": int(said["attempt"]), "state": said["state"], "native_id": said.get("native_id")}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _began(folder: JobFolder, attempt: int) -> float | None:
    claim = folder.attempt(attempt) / "claim"
    return claim.stat().st_mtime if claim.exists() else None


def _ended(folder: JobFolder, attempt: int, state: str) -> dict[str, Any]:
    ending = folder.ending(attempt)
    when = ending.time.timestamp() if ending else (folder.path / "state.json").stat().st_mtime
    said = {"message": ending.message, "hint": ending.hint, "exit_code": ending.exit_code} if ending else {}
    return {"state": state, "ended": when, "started": _began(folder, attempt), **said}


def _outcome(tx: Connection, catalog: Catalog, result: Result) -> dict[str, Any]:
    outputs = [output for output in result.outputs if output.kind != "dataset"]
    if result.dataset is not None and (made := _keep(tx, catalog, result.dataset)) is not None:
        outputs.append(Output(kind="dataset", name=made.name, ref=made.id, derived_from=made.derived_from))
    return {"outputs": [output.model_dump(mode="json") for output in outputs], "metrics": dict(result.metrics)}


def _untold(tx: Connection, folder: JobFolder, row: Row, changes: dict[str, Any]) -> bool:
    """Whether the stream lacks something of a job that has ended; of one that has not, the supervisor takes it in."""
    if tx.execute(select(events.c.id).where(events.c.subject == row.id).limit(1)).first() is None:
        return True
    size = folder.events.stat().st_size if folder.events.exists() else 0
    return "state" in changes or (row.state in FINAL and row.offset < size)


def _retell(tx: Connection, folder: JobFolder, row: Row, changes: dict[str, Any]) -> dict[str, Any]:
    """Tell of the job anew, from what its folder holds."""
    tx.execute(delete(events).where(events.c.subject == row.id))
    task = from_json(to_json(row.file))["spec"]["task"]["kind"]
    append(tx, row.id, "submitted", {"name": row.name, "task": task, "target": row.target}, at=row.submitted)
    end, columns = 0, dict[str, Any](metrics={})
    while (found := read_events(folder.events, end)).end > end:
        append_many(tx, [(said.at, row.id, said.kind, said.values) for said in found.events])
        columns |= summary(found.events, columns["metrics"])
        end = found.end
    now = {**row._mapping, **changes}
    told = {"state": now["state"], "reason": now["reason"], "attempt": now["attempt"]}
    append(tx, row.id, "state", {**told, "message": now["message"], "hint": now["hint"]}, at=now["ended"])
    if "metrics" in changes:
        columns.pop("metrics")
    return {"offset": end, **columns}
