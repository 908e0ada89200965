"""Words in many rows, found quickly: FTS5 in SQLite, a tsvector in PostgreSQL, one expression for both.

A table that is searched has two columns: `number`, whose order is the order of the results (the smallest is the best),
and `tokens`, its words and facets. The index is kept by the database itself. A page costs little whether its words are
rare or stand in every row; what is compared by size, and other orders, are in columns beside.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from sqlalchemy import (
    DDL,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    cast,
    column,
    event,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    table,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects import postgresql

WORD = re.compile(r"[^\W_]+")
LONGEST = 40
NEAR = 1000
"""So many rows beyond a page are looked at one by one before the index is asked."""
NEAR_COUNTED = 3000
"""The same where rows are counted."""


# ---------------------------------------------------------------- what is looked for


@dataclass(frozen=True)
class Term:
    """A token, or all that begin so."""

    token: str
    begins: bool = False


@dataclass(frozen=True)
class All:
    """What has all of these."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Either:
    """What has one of these."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class But:
    """What has the first, without the second."""

    wanted: Expression
    unwanted: Expression


Expression = Term | All | Either | But


def words(text: str) -> list[str]:
    """The words of a text without case and accents, in their order."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return [word[:LONGEST] for word in WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))]


def facet(kind: str, value: str) -> str:
    """A token for something that a row is or has; whatever the value, it is one token."""
    return "=" + blake2b(f"{kind}={value.casefold()}".encode(), digest_size=8).hexdigest()


def beginning(text: str) -> str:
    """The token that stands for how a name begins."""
    return "^" + "".join(words(text))[:LONGEST]


def tokens(name: str, texts: Iterable[str], facets: Iterable[str]) -> str:
    """What the column `tokens` holds for a row of this name."""
    found = {word for part in (name, *texts) for word in words(part)}
    return " ".join(sorted({*found, beginning(name), *facets}))


def matches(held: Sequence[str], wanted: Expression) -> bool:
    """Whether a row with these tokens is meant."""
    match wanted:
        case Term(token, begins):
            return any(one.startswith(token) for one in held) if begins else token in held
        case All(parts):
            return all(matches(held, part) for part in parts)
        case Either(parts):
            return any(matches(held, part) for part in parts)
        case But(first, second):
            return matches(held, first) and not matches(held, second)


# ---------------------------------------------------------------- in a database


def searched(found: Table) -> Table:
    """Have the database keep an index of a table's tokens, from the moment that the table is made."""
    name = found.name
    put = f"INSERT INTO {name}_words(rowid, tokens) VALUES (new.number, new.tokens);"
    drop = f"INSERT INTO {name}_words({name}_words, rowid, tokens) VALUES ('delete', old.number, old.tokens);"
    sqlite = [
        f"CREATE VIRTUAL TABLE {name}_words USING fts5(tokens, content='{name}', content_rowid='number', detail=none, "
        "prefix='1 2 3 4 5 6 7 8 9 10 11 12', tokenize=\"unicode61 remove_diacritics 0 tokenchars '=^'\")",
        f"CREATE TRIGGER {name}_put AFTER INSERT ON {name} BEGIN {put} END",
        f"CREATE TRIGGER {name}_drop AFTER DELETE ON {name} BEGIN {drop} END",
        f"CREATE TRIGGER {name}_change AFTER UPDATE OF number, tokens ON {name} BEGIN {drop} {put} END",
    ]
    postgresql = [
        f"ALTER TABLE {name} ADD COLUMN words tsvector "
        "GENERATED ALWAYS AS (array_to_tsvector(string_to_array(tokens, ' '))) STORED",
        f"CREATE INDEX {name}_words ON {name} USING gin (words) WITH (fastupdate = off)",
        f"ALTER TABLE {name} ALTER COLUMN words SET STATISTICS 1000",
    ]
    for dialect, statements in (("sqlite", sqlite), ("postgresql", postgresql)):
        for statement in statements:
            made = DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
            event.listen(found, "after_create", made)
    return found


@dataclass(frozen=True)
class Order:
    """The columns by which rows stand in a list, and what they hold in the last row that was seen."""

    columns: tuple[ColumnElement[Any], ...]
    descending: bool = False
    past: tuple[Any, ...] | None = None

    def after(self) -> list[ColumnElement[bool]]:
        """That a row comes after the last one."""
        if self.past is None:
            return []
        several = len(self.columns) > 1
        here: Any = tuple_(*self.columns) if several else self.columns[0]
        there: Any = tuple_(*self.past) if several else self.past[0]
        return [here < there if self.descending else here > there]

    def by(self, columns: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
        """An ORDER BY of columns that hold the same as its own."""
        return [column.desc() if self.descending else column.asc() for column in columns]


def first(
    tx: Connection, found: Table, wanted: Expression | None, order: Order, limit: int, *where: ColumnElement[bool]
) -> Sequence[Row[Any]]:
    """The first rows that are meant, in any order, be they common or rare; all are where nothing is wanted.

    The rows that come next in the order are looked at one by one: what is common fills a page there. Where it does
    not, the index says which rows are meant at all, and those are sorted.
    """
    if wanted is None:
        plain = [column for column in found.c if column.name != "tokens"]  # which an index may have, too
        rows = select(*plain).where(*order.after(), *where).order_by(*order.by(order.columns))
        return tx.execute(rows.limit(limit)).all()
    if _is_own(tx, found, order):
        own = replace(order, columns=(literal_column(f"{found.name}_words.rowid"),))
        streamed = meant(tx, found, wanted, *found.c).where(*own.after(), *where).order_by(*own.columns)
        return tx.execute(streamed.limit(limit)).all()
    few = _near(tx, found, wanted, order, NEAR + limit, where)
    columns = [few.selected_columns[one.name] for one in order.columns]
    near = tx.execute(few.order_by(*order.by(columns)).limit(limit)).all()
    if len(near) == limit:
        return near
    # Terms instead of columns, so that no planner goes along the order once more.
    terms = [(column + column.type.python_type()).label(f"by_{column.name}") for column in order.columns]
    listed: Select[Any] = meant(tx, found, wanted, found.c.number, *terms).where(*order.after(), *where)
    if tx.dialect.name == "postgresql":
        kept = listed.cte("kept").prefix_with("MATERIALIZED")
        listed, terms = select(kept.c.number), [kept.c[term.name] for term in terms]
    best = listed.order_by(*order.by(terms)).limit(limit).subquery()
    query = select(found).join(best, best.c.number == found.c.number).order_by(*order.by(order.columns))
    return tx.execute(query).all()


def count(tx: Connection, found: Table, wanted: Expression, most: int, *where: ColumnElement[bool]) -> tuple[int, bool]:
    """How many rows are meant; above `most` it is that, and True."""
    order = Order((found.c.number,))
    if not _is_own(tx, found, order):
        near = _near(tx, found, wanted, order, NEAR_COUNTED, where).limit(most + 1)
        if tx.execute(select(func.count()).select_from(near.subquery())).scalar_one() > most:
            return most, True
    some = meant(tx, found, wanted, literal_column("1")).where(*where).limit(most + 1).subquery()
    total = int(tx.execute(select(func.count()).select_from(some)).scalar_one())
    return min(total, most), total > most


def free_numbers(tx: Connection, found: Table, numbers: Sequence[int]) -> list[int]:
    """For each new row its number, or the next smaller that is free: of two in one moment the later is the newer."""
    taken = set(tx.execute(select(found.c.number).where(found.c.number.in_(numbers))).scalars())
    free = []
    for number in numbers:
        while number in taken:
            number -= 1
            if tx.execute(select(found.c.number).where(found.c.number == number)).first():
                taken.add(number)
        taken.add(number)
        free.append(number)
    return free


def _is_own(tx: Connection, found: Table, order: Order) -> bool:
    """Whether the index itself gives the rows in this order, so that a page costs as much as it has rows."""
    return tx.dialect.name == "sqlite" and order.columns == (found.c.number,) and not order.descending


def _near(
    tx: Connection, found: Table, wanted: Expression, order: Order, number: int, where: Sequence[ColumnElement[bool]]
) -> Select[Any]:
    """Those that are meant among the next rows in an order."""
    said = and_(held(tx, found, wanted), *where).label("said")
    near = select(found, said).where(*order.after()).order_by(*order.by(order.columns)).limit(number).subquery()
    return select(*(near.c[column.name] for column in found.c)).where(near.c.said)


def meant(tx: Connection, found: Table, wanted: Expression | None, *columns: Any) -> Select[Any]:
    """All rows that are meant, by way of the index."""
    if wanted is None:
        return select(*columns)
    if tx.dialect.name == "sqlite":
        index = table(f"{found.name}_words", column("rowid"))
        said = text(f"{index.name} MATCH :wanted").bindparams(bindparam("wanted", FTS5.write(wanted), unique=True))
        return select(*columns).select_from(index.join(found, found.c.number == index.c.rowid)).where(said)
    return select(*columns).select_from(found).where(_in_words(wanted))


def held(tx: Connection, found: Table, wanted: Expression) -> ColumnElement[bool]:
    """That a row is meant, for rows that are looked at one by one."""
    return _in_tokens(found.c.tokens, wanted) if tx.dialect.name == "sqlite" else _in_words(wanted)


def _in_words(wanted: Expression) -> ColumnElement[bool]:
    return literal_column("words").bool_op("@@")(cast(TSQUERY.write(wanted), postgresql.TSQUERY))


def _in_tokens(tokens: ColumnElement[str], wanted: Expression) -> ColumnElement[bool]:
    match wanted:
        case Term(token, begins):
            return func.instr(" " + tokens + " ", f" {token}" if begins else f" {token} ") > 0
        case All(parts):
            return and_(true(), *(_in_tokens(tokens, part) for part in parts))
        case Either(parts):
            return or_(false(), *(_in_tokens(tokens, part) for part in parts))
        case But(first, second):
            return and_(_in_tokens(tokens, first), not_(_in_tokens(tokens, second)))


@dataclass(frozen=True)
class _Signs:
    """How a database's search writes an expression."""

    token: str
    begins: str
    all: str
    either: str
    but: str

    def write(self, wanted: Expression) -> str:
        match wanted:
            case Term(token, begins):
                return (self.begins if begins else self.token).format(token)
            case All(parts):
                return f"({self.all.join(map(self.write, parts))})"
            case Either(parts):
                return f"({self.either.join(map(self.write, parts))})"
            case But(first, second):
                return self.but.format(self.write(first), self.write(second))


FTS5 = _Signs('"{}"', '"{}" *', " AND ", " OR ", "({} NOT {})")
TSQUERY = _Signs("'{}'", "'{}':*", " & ", " | ", "({} & !{})")
