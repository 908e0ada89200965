"""Words and facets in both databases, and in plain Python, mean the same rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, delete, insert, update

from mlex_jupyter import textsearch
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.databases import database_of
from mlex_jupyter.store.tables import BYTEWISE
from mlex_jupyter.textsearch import (
    All,
    But,
    Either,
    Expression,
    Order,
    Term,
    beginning,
    count,
    facet,
    first,
    matches,
    searched,
    tokens,
    words,
)

NAMES = ("Pores", "pores-net", "Porenförster", "grains", "sand & gravel", "Ölschiefer", "x²", "'; DROP TABLE", 'a"b*c')


def test_words_have_no_case_no_accents_and_no_signs() -> None:
    assert words("Ölschiefer, x² und 'Pores'_2 \"*\"") == ["olschiefer", "x2", "und", "pores", "2"]
    assert words("Straße") == ["strasse"]
    assert words("") == words("*?[]") == []


def test_a_facet_is_one_token_whatever_its_value() -> None:
    for value in ("beamtime 7", "a'b", '"', "", "é" * 500):
        assert len(words(facet("tag", value).removeprefix("="))) == 1
        assert facet("tag", value) != facet("owner", value)


def _expressions(seed: int) -> list[Expression]:
    rng = random.Random(seed)
    atoms = [
        Term(word, begins) for word in ("pore", "pores", "p", "net", "ol", "gravel", "x2") for begins in (True, False)
    ]
    atoms += [Term(facet("tag", tag)) for tag in ("odd", "even", "none")]
    atoms += [Term(beginning(name), begins=True) for name in ("pores", "grains")]

    def grown(depth: int) -> Expression:
        if depth == 0 or rng.random() < 0.3:
            return rng.choice(atoms)
        kind = rng.choice((All, Either, But))
        if kind is But:
            return But(grown(depth - 1), grown(depth - 1))
        return kind(tuple(grown(depth - 1) for _ in range(rng.randint(1, 3))))

    return [grown(3) for _ in range(150)]


@pytest.fixture
def things(each_database: str, settings: Settings) -> Iterator[tuple[Connection, Table, dict[int, str]]]:
    """A searched table in a transaction, and what each of its rows holds."""
    metadata = MetaData()
    table = searched(
        Table(
            "things",
            metadata,
            Column("number", Integer, primary_key=True),
            Column("name", BYTEWISE, nullable=False),
            Column("tokens", String, nullable=False),
        )
    )
    held = {
        number: tokens(name, (f"about {name}",), [facet("tag", "odd" if number % 2 else "even")])
        for number, name in enumerate(NAMES * 3)
    }
    rows = [{"number": number, "name": name_of(number), "tokens": said} for number, said in held.items()]
    engine = database_of(settings).writer()
    with engine.begin() as tx:
        metadata.create_all(tx)
        tx.execute(insert(table), rows)
        yield tx, table, held
    engine.dispose()


def name_of(number: int) -> str:
    return f"{'Sand' if number % 3 else 'clay'}-{number % 7}"


def test_the_database_and_python_agree_on_what_is_meant(things: tuple[Connection, Table, dict[int, str]]) -> None:
    tx, table, held = things
    tx.execute(delete(table).where(table.c.number == 3))
    tx.execute(update(table).where(table.c.number == 4).values(tokens=held[0]))
    del held[3]
    held[4] = held[0]
    for wanted in _expressions(7):
        expected = [number for number, said in sorted(held.items()) if matches(said.split(" "), wanted)]
        found = first(tx, table, wanted, Order((table.c.number,)), 100)
        assert [row.number for row in found] == expected, wanted
        later = first(tx, table, wanted, Order((table.c.number,), past=(5,)), 4)
        assert [row.number for row in later] == [number for number in expected if number > 5][:4]
        assert count(tx, table, wanted, 3) == (min(3, len(expected)), len(expected) > 3)


@pytest.mark.parametrize("near", [0, 5, 1000])
def test_rows_come_in_any_order_whether_they_are_near_or_far(
    things: tuple[Connection, Table, dict[int, str]], near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textsearch, "NEAR", near)
    tx, table, held = things
    kept = table.c.name != "Sand-3"
    for wanted in _expressions(8)[:50]:
        those = [number for number, said in held.items() if matches(said.split(" "), wanted)]
        those = [number for number in those if name_of(number) != "Sand-3"]
        for descending in (False, True):
            expected = sorted(those, key=lambda number: (name_of(number), number), reverse=descending)
            order = Order((table.c.name, table.c.number), descending)
            pages: list[int] = []
            while page := first(tx, table, wanted, order, 3, kept):
                pages += [row.number for row in page]
                order = replace(order, past=(page[-1].name, page[-1].number))
            assert pages == expected, wanted


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_found_by_its_own_words(name: str) -> None:
    held = tokens(name, (), ()).split(" ")
    assert all(matches(held, Term(word)) for word in words(name))
    assert matches(held, Term(beginning(name[:3]), begins=True))
