"""The index of datasets: the words and facets by which they are found quickly, and columns in which they are counted.

It repeats what the records say. Rows that an older version wrote, or that were put back from job folders, are
indexed when somebody searches next.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from mlex_jupyter import textsearch
from mlex_jupyter.store.tables import dataset_index, dataset_terms, datasets
from mlex_jupyter.textsearch import All, Expression, Order, Term, facet, words
from mlex_jupyter.types import DataOrder, Dataset, Facets

VERSION = 2
FIRST = 1 << 52
PART = re.compile(r"\d+|[^\W\d_]+")
MOST_WORDS = 400
COUNTED = 1000
"""Only so many of those that are found are counted by their sorts."""
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
        forget(tx, *(dataset.id for dataset in found))
        index_new(tx, *found)


def index_new(tx: Connection, *found: Dataset) -> None:
    """Write the index of datasets whose rows have been added with their columns."""
    numbers = textsearch.free_numbers(tx, dataset_index, [_number(dataset) for dataset in found])
    rows = [
        {"number": number, "dataset": one.id, "name": one.name, "nbytes": one.nbytes, "tokens": _tokens(one)}
        for number, one in zip(numbers, found, strict=True)
    ]
    tx.execute(insert(dataset_index), rows)
    terms = [
        {"dataset": one.id, "field": field, "term": term}
        for one in found
        for field, terms in (("tag", one.tags), ("meta", _notes(one)))
        for term in dict.fromkeys(terms)
    ]
    if terms:
        tx.execute(insert(dataset_terms), terms)


def columns_of(dataset: Dataset) -> dict[str, Any]:
    """What a dataset's row has for the index."""
    return dataset.model_dump(include={"owner", "reader", "dtype", "axes", "nbytes"}) | {"indexed": VERSION}


def forget(tx: Connection, *ids: str) -> None:
    """Remove datasets from the index."""
    tx.execute(delete(dataset_index).where(dataset_index.c.dataset.in_(ids)))
    tx.execute(delete(dataset_terms).where(dataset_terms.c.dataset.in_(ids)))


def behind(tx: Connection) -> bool:
    """Whether there are datasets that are not indexed by this version."""
    return tx.execute(select(datasets.c.id).where(datasets.c.indexed < VERSION).limit(1)).first() is not None


def catch_up(tx: Connection) -> bool:
    """Index some of those that are behind; True while there may be more."""
    query = select(datasets.c.record).where(datasets.c.indexed < VERSION).limit(AT_ONCE)
    found = [Dataset.model_validate(record) for record in tx.execute(query).scalars()]
    index(tx, *found)
    return len(found) == AT_ONCE


def _number(dataset: Dataset) -> int:
    return FIRST - int(1e6 * dataset.created.timestamp())


def _notes(dataset: Dataset) -> list[str]:
    return [f"{key}={value}" for key, value in dataset.meta.items()]


def _tokens(dataset: Dataset) -> str:
    said = (dataset.name, *dataset.tags, PurePath(dataset.uri).name, dataset.description, *_notes(dataset))
    found = list(dict.fromkeys(word for text in said for word in _words(text)))[:MOST_WORDS]
    found += [facet(kind, getattr(dataset, kind) or "") for kind in ("reader", "dtype", "axes", "owner")]
    found += [facet("tag", tag) for tag in dataset.tags]
    found += [facet("meta", note) for note in _notes(dataset)] + [facet("key", key) for key in dataset.meta]
    found += [facet("parent", parent) for parent in dataset.derived_from]
    return " ".join(sorted(set(found)))


def _words(text: str) -> Iterator[str]:
    """`Scan042_wet` is scan042, wet, scan and 042."""
    for word in words(text):
        yield word
        parts = PART.findall(word)
        if len(parts) > 1:
            yield from parts


# ---------------------------------------------------------------- searching


def search(
    tx: Connection, wanted: Wanted, order: DataOrder = DataOrder.NEWEST, past: str | None = None, limit: int = 100
) -> list[Dataset]:
    """A page of the datasets that are wanted: those that come after the one with the id `past`."""
    asked = _asked(tx, wanted)
    if asked is None:
        return []
    here = ORDERS[order]
    if past is not None:
        last = tx.execute(select(*here.columns).where(dataset_index.c.dataset == past)).one()
        here = replace(here, past=tuple(last))
    ids = [row.dataset for row in textsearch.first(tx, dataset_index, asked[0], here, limit, *asked[1])]
    records = select(datasets.c.id, datasets.c.record).where(datasets.c.id.in_(ids))
    found = {row.id: row.record for row in tx.execute(records)}
    return [Dataset.model_validate(found[one]) for one in ids]


ORDERS = {
    DataOrder.NEWEST: Order((dataset_index.c.number,)),
    DataOrder.NAME: Order((dataset_index.c.name,)),
    DataOrder.SIZE: Order((dataset_index.c.nbytes, dataset_index.c.number), descending=True),
}


def facets(tx: Connection, wanted: Wanted) -> Facets:
    """How many of those that are wanted there are of each sort; where they are very many, among some of them."""
    asked = _asked(tx, wanted)
    if asked is None:
        return Facets(total=0)
    listed = textsearch.meant(tx, dataset_index, asked[0], dataset_index.c.dataset).where(*asked[1]).limit(COUNTED)
    columns = [datasets.c[name] for name in COLUMNS.values()]
    rows = tx.execute(select(*columns).where(datasets.c.id.in_(select(listed.subquery())))).all()
    counts = {title: Counter(getattr(row, name) for row in rows) for title, name in COLUMNS.items()}
    # Their few terms are read by their ids; with a condition on the field, all terms of that field would be.
    terms = select(dataset_terms.c.field, dataset_terms.c.term, func.count())
    those = terms.where(dataset_terms.c.dataset.in_(select(listed.subquery())))
    for field, term, number in tx.execute(those.group_by(dataset_terms.c.field, dataset_terms.c.term)):
        if field in TERMS:
            counts.setdefault(TERMS[field], Counter())[term] = number
    sorts = {title: _most_frequent(values) for title, values in counts.items()}
    return Facets(total=len(rows), more_than_total=len(rows) == COUNTED, **sorts)


COLUMNS = {"readers": "reader", "dtypes": "dtype", "axes": "axes", "owners": "owner"}
TERMS = {"tag": "tags", "meta": "meta"}


def _most_frequent(counts: Counter[str | None]) -> dict[str, int]:
    known = [(value, count) for value, count in counts.items() if value is not None]
    return dict(sorted(known, key=lambda pair: (-pair[1], pair[0]))[:FACETS_AT_MOST])


def _asked(tx: Connection, wanted: Wanted) -> tuple[Expression | None, list[ColumnElement[bool]]] | None:
    """What is looked for in the index, and what names must be like; None where nothing can be meant."""
    terms: list[Expression] = []
    patterns: list[ColumnElement[bool]] = []
    for word in wanted.query.split():
        if "*" in word or "?" in word:
            if word.strip("*"):
                patterns.append(_like(tx, word))
        elif parts := words(word):
            terms += [Term(part, begins=True) for part in parts]
        else:
            return None
    terms += [Term(facet("tag", tag)) for tag in wanted.tags]
    terms += [Term(facet("meta" if "=" in note else "key", note)) for note in wanted.meta]
    sorts = {name: getattr(wanted, name) for name in COLUMNS.values()} | {"parent": wanted.derived_from}
    terms += [Term(facet(kind, value)) for kind, value in sorts.items() if value is not None]
    return All(tuple(terms)) if terms else None, patterns


def _like(tx: Connection, pattern: str) -> ColumnElement[bool]:
    """That a name is like `sand*?`, whatever its case; what SQL would take for signs are letters."""
    for sign in "\\%_":
        pattern = pattern.replace(sign, "\\" + sign)
    pattern = pattern.lower().replace("*", "%").replace("?", "_")
    name = dataset_index.c.name if tx.dialect.name == "sqlite" else func.lower(dataset_index.c.name)
    return name.like(pattern, escape="\\")
