"""The index of models: a row for the newest listed version of each, with its words, facets and metrics.

The order is fixed when a model is indexed: the newest first, where a perfect Dice is worth a month.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from mlex_jupyter import textsearch
from mlex_jupyter.store.tables import models, zoo_index, zoo_metrics
from mlex_jupyter.textsearch import facet, tokens, words
from mlex_jupyter.types import Model

VERSION = 1
MONTH_S = 30 * 86400
FIRST = 1 << 40
AT_ONCE = 500
SHARED = facet("visibility", "shared")


def index(tx: Connection, name: str) -> None:
    """Write the index of one model anew, from its newest version that is listed."""
    forget(tx, [name])
    newest = models.c.name == name, models.c.withdrawn.is_(None)
    row = tx.execute(select(models.c.record).where(*newest).order_by(models.c.version.desc()).limit(1)).scalar()
    if row is not None:
        put(tx, [Model.model_validate(row)])
    tx.execute(update(models).where(models.c.name == name).values(indexed=VERSION))


def put(tx: Connection, found: Sequence[Model]) -> None:
    """Add models that are not in the index."""
    numbers = textsearch.free_numbers(tx, zoo_index, [number_of(model) for model in found])
    numbered = list(zip(numbers, found, strict=True))
    tx.execute(
        insert(zoo_index),
        [
            {"number": number, "name": model.name, "tokens": _tokens(model), "entry": _entry(model)}
            for number, model in numbered
        ],
    )
    measured = [
        {"metric": metric, "number": number, "value": value}
        for number, model in numbered
        for metric, value in model.metrics.items()
    ]
    if measured:
        tx.execute(insert(zoo_metrics), measured)


def forget(tx: Connection, names: Sequence[str]) -> None:
    """Remove models from the index."""
    numbers = list(tx.execute(select(zoo_index.c.number).where(zoo_index.c.name.in_(names))).scalars())
    tx.execute(delete(zoo_metrics).where(zoo_metrics.c.number.in_(numbers)))
    tx.execute(delete(zoo_index).where(zoo_index.c.number.in_(numbers)))


def behind(tx: Connection) -> bool:
    """Whether there are models that this version has not indexed."""
    return tx.execute(select(models.c.id).where(models.c.indexed < VERSION).limit(1)).first() is not None


def catch_up(tx: Connection) -> bool:
    """Index some of those that an older version wrote; True while there may be more."""
    old = models.c.indexed < VERSION
    records = list(tx.execute(select(models.c.record).where(old).limit(AT_ONCE)).scalars())
    for model in map(Model.model_validate, records):
        owned = {"owner": model.owner, "visibility": model.visibility}
        tx.execute(update(models).where(models.c.id == model.id).values(**owned))
        index(tx, model.name)
    return len(records) == AT_ONCE


def score(metrics: dict[str, float]) -> float:
    """How good a model is said to be, between 0 and 1; in the middle where nothing is said."""
    said = metrics.get("dice", 0.5)
    return min(1.0, max(0.0, said)) if said == said else 0.5


def number_of(model: Model) -> int:
    """Where a model stands; the smallest number is the first."""
    return FIRST - int(16 * (model.created.timestamp() + MONTH_S * score(model.metrics)))


def _tokens(model: Model) -> str:
    facets = [
        facet("name", "".join(words(model.name))),
        facet("task", model.task),
        facet("owner", model.owner),
        facet("architecture", model.architecture),
        facet("framework", model.framework),
        *(facet("tag", tag) for tag in model.tags),
    ]
    if model.visibility == "shared":
        facets.append(SHARED)
    return tokens(model.name, (model.title, model.description, *model.tags), facets)


def _entry(model: Model) -> dict[str, Any]:
    """A model as a line of the zoo."""
    shared = {"name", "version", "title", "architecture", "task", "framework", "metrics", "tags", "owner", "visibility"}
    return {"kind": "model", **model.model_dump(mode="json", include={*shared, "run", "created"})}
