"""The index of datasets: columns, and terms (words, tags, notes, parents), by which they are found quickly.

It repeats what the records say. Rows that an older version wrote, or that were put back from job folders, are
indexed when somebody searches next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    select,
    tuple_,
    union_all,
    update,
)

from mlex_jupyter.store.tables import dataset_terms, datasets
from mlex_jupyter.types import DataOrder, Dataset, Facets

VERSION = 1
WORD = re.compile(r"[^\W_]+")
PART = re.compile(r"\d+|[^\W\d_]+")
LAST = "\U0010ffff"
COMMON = 2000
"""A beginning that more words have than this is checked dataset by dataset, rarer ones by their list."""
MOST_TERMS = 400
FACETS_AT_MOST = 50
AT_ONCE = 500


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for; all of it must hold."""

    query: str = "*"
    tags: Sequence[str] = ()
    meta: Sequence[str] = ()
    """`key=value`, or a key alone."""
    reader: str | None = None
    dtype: str | None = None
    axes: str | None = None
    owner: str | None = None
    derived_from: str | None = None
    """An id."""


# ---------------------------------------------------------------- writing


def index(tx: Connection, *found: Dataset) -> None:
    """Write the index of datasets whose rows are there; done again, it replaces what stood there."""
    if found:
        columns = [{"row": dataset.id, **columns_of(dataset)} for dataset in found]
        tx.execute(update(datasets).where(datasets.c.id == bindparam("row")), columns)
        tx.execute(delete(dataset_terms).where(dataset_terms.c.dataset.in_([dataset.id for dataset in found])))
        index_new(tx, *found)


def index_new(tx: Connection, *found: Dataset) -> None:
    """Write the terms of datasets whose rows have been added with their columns."""
    terms = [(dataset.id, field, term) for dataset in found for field, term in _terms(dataset)]
    tx.execute(insert(dataset_terms), [{"dataset": one, "field": field, "term": term} for one, field, term in terms])


def columns_of(dataset: Dataset) -> dict[str, Any]:
    """What a dataset's row has for the index."""
    return dataset.model_dump(include={"owner", "reader", "dtype", "axes", "nbytes"}) | {"indexed": VERSION}


def forget(tx: Connection, dataset_id: str) -> None:
    """Remove the terms of a dataset."""
    tx.execute(delete(dataset_terms).where(dataset_terms.c.dataset == dataset_id))


def behind(tx: Connection) -> bool:
    """Whether there are datasets that are not indexed by this version."""
    return tx.execute(select(datasets.c.id).where(datasets.c.indexed < VERSION).limit(1)).first() is not None


def catch_up(tx: Connection) -> bool:
    """Index some of those that are behind; True while there may be more."""
    query = select(datasets.c.record).where(datasets.c.indexed < VERSION).limit(AT_ONCE)
    found = [Dataset.model_validate(record) for record in tx.execute(query).scalars()]
    index(tx, *found)
    return len(found) == AT_ONCE


def _terms(dataset: Dataset) -> set[tuple[str, str]]:
    notes = [f"{key}={value}" for key, value in dataset.meta.items()]
    said = (dataset.name, *dataset.tags, PurePath(dataset.uri).name, dataset.description, *notes)
    words = list(dict.fromkeys(word for text in said for word in _words(text)))
    return {
        *(("word", word) for word in words[:MOST_TERMS]),
        *(("tag", tag) for tag in dataset.tags),
        *(("meta", note) for note in notes),
        *(("parent", parent) for parent in dataset.derived_from),
    }


def _words(text: str) -> Iterator[str]:
    """`Scan042_wet` is scan042, wet, scan and 042."""
    for word in WORD.findall(text.casefold()):
        yield word
        parts = PART.findall(word)
        if len(parts) > 1:
            yield from parts


# ---------------------------------------------------------------- searching


def search(
    tx: Connection, wanted: Wanted, order: DataOrder = DataOrder.NEWEST, past: str | None = None, limit: int = 100
) -> list[Dataset]:
    """A page of the datasets that are wanted: those that come after the one with the id `past`."""
    columns, descending = ORDERS[order]
    query = select(datasets.c.record).where(*_conditions(tx, wanted)).limit(limit)
    query = query.order_by(*(column.desc() if descending else column.asc() for column in columns))
    if past is not None:
        last = tx.execute(select(*columns).where(datasets.c.id == past)).one()
        here, there = tuple_(*columns), tuple_(*last)
        query = query.where(here < there if descending else here > there)
    return [Dataset.model_validate(record) for record in tx.execute(query).scalars()]


ORDERS: dict[DataOrder, tuple[tuple[ColumnElement[Any], ...], bool]] = {
    DataOrder.NEWEST: ((datasets.c.created, datasets.c.id), True),
    DataOrder.NAME: ((datasets.c.name,), False),
    DataOrder.SIZE: ((datasets.c.nbytes, datasets.c.id), True),
}


def facets(tx: Connection, wanted: Wanted) -> Facets:
    """How many of those that are wanted there are of each sort."""
    conditions, terms = _conditions(tx, wanted), dataset_terms
    columns = [datasets.c[name] for name in COLUMNS.values()]
    found = select(datasets.c.id, *columns).where(*conditions).cte("found")  # looked for once, counted in several ways
    counted: list[Select[Any]] = [select(literal("total"), literal(""), func.count()).select_from(found)]
    for title, name in COLUMNS.items():
        column = found.c[name] if conditions else datasets.c[name]
        counted.append(_counted(title, select(column.label("value")).where(column.is_not(None))))
    for title, field in TERMS.items():
        those = select(terms.c.term.label("value")).where(terms.c.field == field)
        counted.append(_counted(title, those.join(found, terms.c.dataset == found.c.id) if conditions else those))
    counts: dict[str, dict[str, int]] = {}
    for title, value, count in tx.execute(union_all(*counted)):
        counts.setdefault(title, {})[value] = count
    total = counts.pop("total")[""]
    return Facets(total=total, **{title: _most_frequent(values) for title, values in counts.items()})


COLUMNS = {"readers": "reader", "dtypes": "dtype", "axes": "axes", "owners": "owner"}
TERMS = {"tags": "tag", "meta": "meta"}


def _counted(title: str, values: Select[Any]) -> Select[Any]:
    """The most frequent of these values, with their counts."""
    column = values.selected_columns["value"]
    count = func.count().label("count")
    most = values.add_columns(count).group_by(column).order_by(count.desc(), column).limit(FACETS_AT_MOST).subquery()
    return select(literal(title), most.c.value, most.c.count)


def _most_frequent(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _conditions(tx: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for word in wanted.query.split():
        if "*" in word or "?" in word:
            if word.strip("*"):
                conditions.append(func.lower(datasets.c.name).like(_like(word), escape="\\"))
        else:
            parts = WORD.findall(word.casefold())
            conditions += [_has(tx, "word", part, beginning=True) for part in parts] or [false()]
    conditions += [_has(tx, "tag", tag) for tag in wanted.tags]
    for note in wanted.meta:
        conditions.append(_has(tx, "meta", note if "=" in note else f"{note}=", beginning="=" not in note))
    if wanted.derived_from is not None:
        conditions.append(_has(tx, "parent", wanted.derived_from))
    for name in ("reader", "dtype", "axes", "owner"):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(datasets.c[name] == value)
    return conditions


def _has(tx: Connection, field: str, term: str, *, beginning: bool = False) -> ColumnElement[bool]:
    """That a dataset has this term. The way to find out is chosen by how many have it."""
    terms = dataset_terms
    same = (terms.c.term >= term) & (terms.c.term < term + LAST) if beginning else terms.c.term == term
    listed = select(terms.c.dataset).where(terms.c.field == field, same)
    some = listed.limit(COMMON).subquery()
    if tx.execute(select(func.count()).select_from(some)).scalar_one() < COMMON:
        return datasets.c.id.in_(listed)
    return exists().where(terms.c.dataset == datasets.c.id, terms.c.field == field, same)


def _like(pattern: str) -> str:
    """`sand*?` for SQL, with what it would take for signs taken for letters."""
    for sign in "\\%_":
        pattern = pattern.replace(sign, "\\" + sign)
    return pattern.lower().replace("*", "%").replace("?", "_")
