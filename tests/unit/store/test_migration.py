"""An older home opens with all that is in it, and gets the tables, columns and indexes that this version adds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, inspect, text

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store, migration
from mlex_jupyter.store.migration import current, migrate
from mlex_jupyter.store.tables import metadata
from tests.engine import python, settings_of, spec

FIRST = Path(__file__).parent / "homes" / "first.sql"


@pytest.fixture
def old_home(home: Path) -> Path:
    """A home as the first version left it."""
    with sqlite3.connect(home / "mlex.db") as database:
        database.executescript(FIRST.read_text())
    database.close()
    return home


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> MetaData:
    """The tables that this version wants, to be changed as a later one would."""
    later = MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(later)
    monkeypatch.setattr(migration, "metadata", later)
    return later


@pytest.fixture
def store(each_database: str, home: Path) -> Iterator[Store]:
    opened = Store.open(settings_of(home))
    yield opened
    opened.close()


async def test_a_home_of_the_first_version_opens_with_all_that_is_in_it(old_home: Path) -> None:
    mlex = Mlex(settings_of(old_home))
    assert [dataset.name for dataset in await mlex.data()] == ["sand"]
    assert [(found.name, found.version) for found in await mlex.labels("sand")] == [("scribbles", 1)]
    (job,) = await mlex.jobs()
    assert (job.id, job.name, job.state.value, job.exit_code) == ("run-0", "old-01", "done", 0)
    assert [event.id for event in await mlex.events(after=40)] == [41]
    with pytest.raises(Conflict, match="used for another request"):
        await mlex.job_list.submit(spec("false", key="k"), "tester")
    new = await mlex.job_list.submit(spec("true"), "tester")
    assert (await mlex.event_stream.after(41))[0].subject == new.id
    mlex.close()


def test_it_then_has_every_table_column_and_index_of_a_new_one(old_home: Path, tmp_path: Path) -> None:
    def named(home: Path) -> set[str]:
        store = Store.open(settings_of(home))
        with store._reader.connect() as connection:
            looks = inspect(connection)
            found = {
                f"{table}.{part['name']}"
                for table in looks.get_table_names()
                for part in (*looks.get_columns(table), *looks.get_indexes(table))
            }
        store.close()
        return found

    assert named(old_home) == named(tmp_path / "new")


def test_what_a_later_version_adds_is_there_after_opening(store: Store, home: Path, older: MetaData) -> None:
    with store._writer.begin() as tx:
        tx.execute(text("INSERT INTO datasets (id, name, record, created) VALUES ('d', 'd', '{}', 1.0)"))
    datasets = older.tables["datasets"]
    datasets.append_column(Column("colour", String))
    datasets.append_column(Column("stars", Integer, nullable=False, server_default="3"))
    Index("datasets_by_stars", datasets.c.stars)
    Table("notes", older, Column("id", Integer, primary_key=True), Column("at", Float, index=True))
    for _ in range(2):
        Store.open(settings_of(home)).close()
        with store._reader.connect() as connection:
            assert current(connection)
            assert connection.execute(text("SELECT colour, stars FROM datasets")).all() == [(None, 3)]
            assert "datasets_by_stars" in {index["name"] for index in inspect(connection).get_indexes("datasets")}
            assert inspect(connection).has_table("notes")


def test_a_migration_that_fails_changes_nothing(store: Store, home: Path, older: MetaData) -> None:
    datasets = older.tables["datasets"]
    datasets.append_column(Column("colour", String))
    Index("broken", text("no_such_column"), _table=datasets)
    with pytest.raises(Exception, match="no_such_column"):
        Store.open(settings_of(home))
    with store._reader.connect() as connection:
        assert "colour" not in {column["name"] for column in inspect(connection).get_columns("datasets")}


def test_an_up_to_date_home_opens_while_somebody_writes(settings: Settings) -> None:
    Store.open(settings).close()
    holder = sqlite3.connect(settings.home / "mlex.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    Store.open(settings).close()
    holder.close()


def test_many_who_open_an_older_home_at_once_all_get_in(old_home: Path) -> None:
    program = """
import sys
from pathlib import Path
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
Store.open(Settings.load(home=Path(sys.argv[1]))).close()
"""
    for process in [python(program, old_home) for _ in range(3)]:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint


def test_done_again_it_finds_nothing_to_do(store: Store) -> None:
    with store._writer.begin() as tx:
        assert current(tx)
        migrate(tx)
        assert current(tx)
