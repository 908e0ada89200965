"""Words in many rows, found quickly: FTS5 in SQLite, a tsvector in PostgreSQL, one expression for both.

A table that is searched has two columns: `number`, whose order is the order of the results (the smallest is the best),
and `tokens`, its words and facets. The index is kept by the database itself. Results come in the order of `number`,
so that a page of a word that stands in every row ends after as many rows as the page has; what is compared by size
stays in columns of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import DDL, Connection, Select, Table, bindparam, column, event, literal_column, select, table, text

WORD = re.compile(r"[^\W_]+")
LONGEST = 40


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


def matching(tx: Connection, found: Table, wanted: Expression, *columns: Any) -> Select[Any]:
    """A query for these columns of the rows that are meant, the best first."""
    if tx.dialect.name == "sqlite":
        index = table(f"{found.name}_words", column("rowid"))
        return (
            select(*columns)
            .select_from(index.join(found, found.c.number == index.c.rowid))
            .where(text(f"{index.name} MATCH :wanted").bindparams(bindparam("wanted", _fts5(wanted), unique=True)))
            .order_by(index.c.rowid)
        )
    said = text("words @@ CAST(:wanted AS tsquery)").bindparams(bindparam("wanted", _tsquery(wanted), unique=True))
    return select(*columns).select_from(found).where(said).order_by(found.c.number)


def after(tx: Connection, found: Table, number: int) -> Any:
    """The condition that a row comes after this one, in the words that the index understands."""
    place = literal_column(f"{found.name}_words.rowid") if tx.dialect.name == "sqlite" else found.c.number
    return place > number


def _fts5(wanted: Expression) -> str:
    match wanted:
        case Term(token, begins):
            return f'"{token}" *' if begins else f'"{token}"'
        case All(parts):
            return f"({' AND '.join(map(_fts5, parts))})"
        case Either(parts):
            return f"({' OR '.join(map(_fts5, parts))})"
        case But(first, second):
            return f"({_fts5(first)} NOT {_fts5(second)})"


def _tsquery(wanted: Expression) -> str:
    match wanted:
        case Term(token, begins):
            return f"'{token}':*" if begins else f"'{token}'"
        case All(parts):
            return f"({' & '.join(map(_tsquery, parts))})"
        case Either(parts):
            return f"({' | '.join(map(_tsquery, parts))})"
        case But(first, second):
            return f"({_tsquery(first)} & !{_tsquery(second)})"
