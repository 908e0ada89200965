"""Which label sets a dataset has: the newest version of each."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from mlex_jupyter.store.tables import labels
from mlex_jupyter.types import Dataset, LabelSet


def named(tx: Connection, dataset_id: str, name: str) -> LabelSet | None:
    """The newest version of one label set."""
    return next((found for found in newest(tx, dataset_id) if found.name == name), None)


def newest(tx: Connection, dataset_id: str) -> list[LabelSet]:
    """The newest version of each; the one changed last comes first."""
    last = (
        select(labels.c.name, func.max(labels.c.version).label("version"))
        .where(labels.c.dataset == dataset_id)
        .group_by(labels.c.name)
        .subquery()
    )
    query = (
        select(labels.c.record)
        .join(last, (labels.c.name == last.c.name) & (labels.c.version == last.c.version))
        .where(labels.c.dataset == dataset_id)
        .order_by(labels.c.created.desc(), labels.c.name)
    )
    return [LabelSet.model_validate(record) for record in tx.execute(query).scalars()]


def shape_of(dataset: Dataset) -> tuple[int, int, int]:
    """A dataset's z, y and x."""
    lengths = dict(zip(dataset.axes, dataset.shape, strict=True))
    return lengths.get("z", 1), lengths["y"], lengths["x"]
