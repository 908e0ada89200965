"""What one commit acknowledged is not lost: not by a kill, a full disk, or many processes at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from mlex_jupyter.errors import Conflict, Invalid, Unavailable
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store, current_epoch, next_epoch
from mlex_jupyter.store.migration import SCHEMA_VERSION
from mlex_jupyter.store.tables import events, meta
from tests.engine import answer, fill, python, settings_of, small_disk, until

OPEN = """
import json, sys
from pathlib import Path
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store, next_epoch
store = Store.open(Settings.load(home=Path(sys.argv[1])))
"""


def rows(store: Store) -> list[int]:
    return store.read_now(lambda tx: list(tx.execute(select(events.c.id)).scalars()))


def told(number: int) -> dict[str, object]:
    return {"time": float(number), "subject": "test", "kind": "note", "values": {"number": number}}


def tell_and_count(tx: Connection, number: int) -> int:
    tx.execute(insert(events), [told(number)])
    return tx.execute(select(func.count()).select_from(events)).scalar_one()


@pytest.fixture
def store(each_database: str, home: Path) -> Iterator[Store]:
    opened = Store.open(settings_of(home))
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(home: Path) -> Iterator[Store]:
    opened = Store.open(settings_of(home))
    yield opened
    opened.close()


# ---------------------------------------------------------------- writing together


async def test_writes_that_come_at_once_share_a_commit(store: Store) -> None:
    commits = []
    event.listen(store._writer, "commit", commits.append)
    ids = await asyncio.gather(*(store.write(lambda tx, n=n: tell_and_count(tx, n)) for n in range(60)))
    assert ids == list(range(1, 61)), "each has seen what those before it wrote"
    assert len(commits) < 30
    assert len(rows(store)) == 60


async def test_what_goes_wrong_with_one_of_them_is_its_own(store: Store) -> None:
    def fail(tx: Connection) -> None:
        tell_and_count(tx, 99)
        raise Conflict("Not this one.")

    def clash(tx: Connection) -> None:
        tx.execute(insert(meta).values(key="schema", value=1))

    works = [fail if n % 3 == 1 else clash if n % 3 == 2 else lambda tx: tell_and_count(tx, 1) for n in range(30)]
    ended = await asyncio.gather(*(store.write(work) for work in works), return_exceptions=True)
    assert [type(one) for one in ended[:3]] == [int, Conflict, IntegrityError]
    assert all(isinstance(one, int) for one in ended[::3])
    assert len(rows(store)) == 10, "nothing of those that failed"


async def test_nobody_hears_of_a_write_whose_commit_failed(sqlite_store: Store) -> None:
    def no_room(connection: Connection) -> None:
        raise OperationalError("COMMIT", {}, Exception("database or disk is full"))

    event.listen(sqlite_store._writer, "commit", no_room)
    writing = (sqlite_store.write(lambda tx: tell_and_count(tx, 1)) for _ in range(5))
    ended = await asyncio.gather(*writing, return_exceptions=True)
    assert [(type(one), one.message) for one in ended] == [(Unavailable, "The disk is full: nothing was saved.")] * 5
    event.remove(sqlite_store._writer, "commit", no_room)
    assert rows(sqlite_store) == []
    assert await sqlite_store.write(lambda tx: tell_and_count(tx, 1)) == 1


# ---------------------------------------------------------------- one by one


def test_the_home_is_made_private(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    Store.open(settings_of(home)).close()
    assert home.stat().st_mode & 0o777 == 0o700


async def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    def half(tx) -> None:
        tx.execute(insert(events), [told(1)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(half)
    assert rows(store) == []
    await store.write(lambda tx: tx.execute(insert(events), [told(1)]))
    assert len(rows(store)) == 1


async def test_a_read_is_one_consistent_view(store: Store, home: Path) -> None:
    other = Store.open(settings_of(home))

    def twice(tx) -> tuple[int, int]:
        before = len(list(tx.execute(select(events.c.id))))
        other.write_now(lambda tx: tx.execute(insert(events), [told(1)]))
        return before, len(list(tx.execute(select(events.c.id))))

    assert await store.read(twice) == (0, 0)
    assert rows(store) == [1]
    other.close()


async def test_a_caller_that_gives_up_does_not_undo_the_write(store: Store) -> None:
    writing = asyncio.create_task(store.write(lambda tx: tx.execute(insert(events), [told(1)])))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await store.write(lambda tx: None)
    assert rows(store) == [1]


@pytest.mark.usefixtures("each_database")
def test_what_was_acknowledged_survives_the_kill_of_who_acknowledged(home: Path) -> None:
    program = (
        OPEN
        + """
from sqlalchemy import Connection, event, func, insert
from mlex_jupyter.store.tables import events
for number in range(10_000):
    told = {"time": 1.0, "subject": "x", "kind": "note", "values": {}}
    store.write_now(lambda tx: tx.execute(insert(events), [told]))
    print(number + 1, flush=True)
"""
    )
    writer = python(program, home)
    assert writer.stdout is not None
    for _ in range(20):
        acknowledged = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged = int((writer.stdout.read().split() or [acknowledged])[-1])
    writer.wait()
    store = Store.open(settings_of(home))
    found = rows(store)
    assert acknowledged <= len(found) <= acknowledged + 1
    assert found == list(range(1, len(found) + 1))
    store.close()


def test_commits_are_durable_before_anybody_hears_of_them(sqlite_store: Store) -> None:
    with sqlite_store._writer.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_on_a_network_file_system_there_is_no_wal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlex_jupyter.files.file_system", lambda path: "nfs4")
    store = Store.open(settings_of(home))
    store.write_now(lambda tx: tx.execute(insert(events), [told(1)]))
    assert rows(store) == [1]
    with sqlite3.connect(store.database.path) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert not (home / "mlex.db-wal").exists()
    store.close()


@pytest.mark.usefixtures("each_database")
def test_many_who_open_a_new_home_at_once_all_get_in(home: Path) -> None:
    processes = [python(OPEN + "print(json.dumps(store.write_now(next_epoch)))", home) for _ in range(3)]
    assert sorted(answer(process) for process in processes) == [1, 2, 3]


async def test_somebody_elses_commit_is_noticed(store: Store, home: Path) -> None:
    other = Store.open(settings_of(home))
    before = store.version()
    assert store.version() == before
    other.write_now(lambda tx: tx.execute(insert(events), [told(1)]))
    await until(lambda: store.version() != before)
    waiting = asyncio.create_task(store.changed(within_s=30))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    other.write_now(lambda tx: tx.execute(insert(events), [told(2)]))
    await asyncio.wait_for(waiting, 5)
    other.close()


async def test_waiting_for_a_commit_ends_in_time(store: Store) -> None:
    store.version()
    await asyncio.wait_for(store.changed(within_s=0.05), 5)


def test_a_reign_begins_one_above_the_last(store: Store) -> None:
    assert store.read_now(current_epoch) == 0
    assert store.write_now(next_epoch) == 1
    assert store.write_now(next_epoch) == 2
    assert store.read_now(current_epoch) == 2


# ---------------------------------------------------------------- what can go wrong


@pytest.mark.usefixtures("each_database")
def test_a_database_of_a_later_version_is_left_alone(settings: Settings) -> None:
    store = Store.open(settings)
    newer = {"value": SCHEMA_VERSION + 1}
    store.write_now(lambda tx: tx.execute(update(meta).where(meta.c.key == "schema").values(**newer)))
    store.close()
    with pytest.raises(Unavailable, match="newer version") as caught:
        Store.open(settings)
    assert "pip install -U" in (caught.value.hint or "")


def test_a_file_that_is_no_database_is_said_to_be_none(settings: Settings) -> None:
    (settings.home / "mlex.db").write_bytes(b"this is not a database, but long enough to be looked at" * 40)
    with pytest.raises(Unavailable, match="is damaged: file is not a database"):
        Store.open(settings)


def test_a_home_that_is_a_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be opened"):
        Store.open(settings_of(tmp_path / "home"))


def test_a_number_of_more_than_64_bits_is_refused(sqlite_store: Store) -> None:
    with pytest.raises(Invalid, match="too large"):
        sqlite_store.read_now(lambda tx: list(tx.execute(select(events).where(events.c.id > 10**30))))


def test_a_database_that_somebody_holds_is_busy_and_nothing_is_lost(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_store.write_now(lambda tx: tx.execute(insert(events), [told(1)]))
    impatient = Store(sqlite_store.database)

    @event.listens_for(impatient._writer, "connect")
    def soon(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA busy_timeout=50")

    holder = sqlite3.connect(sqlite_store.database.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="busy: nothing was saved") as caught:
        impatient.write_now(lambda tx: tx.execute(insert(events), [told(2)]))
    assert caught.value.transient
    assert rows(sqlite_store) == [1], "reading goes on meanwhile"
    holder.execute("ROLLBACK")
    holder.close()
    impatient.write_now(lambda tx: tx.execute(insert(events), [told(2)]))
    assert rows(sqlite_store) == [1, 2]
    impatient.close()


@pytest.mark.needs("mount")
def test_a_full_disk_is_said_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        store = Store.open(settings_of(disk / "home"))
        store.write_now(lambda tx: tx.execute(insert(events), [told(1)]))
        filler = fill(disk)
        acknowledged = 1
        with pytest.raises(Unavailable, match="disk is full") as caught:
            for number in range(2, 2000):
                big = {**told(number), "values": {"text": "x" * 20_000}}
                store.write_now(lambda tx, big=big: tx.execute(insert(events), [big]))
                acknowledged += 1
        assert caught.value.hint
        assert len(rows(store)) == acknowledged
        filler.unlink()
        store.write_now(lambda tx: tx.execute(insert(events), [told(9)]))
        assert len(rows(store)) == acknowledged + 1
        store.close()
        again = Store.open(settings_of(disk / "home"))
        assert len(rows(again)) == acknowledged + 1
        again.close()


def test_ids_are_never_given_twice_even_after_the_newest_is_gone(store: Store) -> None:
    store.write_now(lambda tx: tx.execute(insert(events), [told(1), told(2)]))
    store.write_now(lambda tx: tx.execute(events.delete()))
    store.write_now(lambda tx: tx.execute(insert(events), [told(3)]))
    assert rows(store) == [3]
