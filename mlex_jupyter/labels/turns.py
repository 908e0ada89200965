"""Turning strokes: taken back and done again.

Nobody's work is taken away with it: where others painted over a stroke since, it is a conflict, or the rest is turned.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sqlalchemy import Connection, delete, select

from mlex_jupyter.errors import Stale
from mlex_jupyter.labels import ledger
from mlex_jupyter.labels.drafts import Canvas, Working
from mlex_jupyter.labels.tiles import Bytes, Change, Place
from mlex_jupyter.store.tables import Row, label_changes, label_strokes
from mlex_jupyter.types import Painted


def next_to_turn(tx: Connection, draft: Working, author: str, kind: str) -> Row | None:
    """The stroke that is turned next: the last that was done, or the first that was taken back."""
    strokes = label_strokes.c
    state, order = ("done", strokes.number.desc()) if kind == "undo" else ("undone", strokes.number)
    query = select(label_strokes).where(
        strokes.labels == draft.labels, strokes.author == author, strokes.state == state
    )
    return tx.execute(query.order_by(order).limit(1)).one_or_none()


def what_stands(
    tx: Connection, canvas: Canvas, changes: Mapping[Place, Change], kind: str, partly: bool
) -> dict[Place, Change]:
    """What of a stroke is to be turned: all of it, or, where others painted over it, the rest."""
    standing = {
        place: change.only(change.stands(canvas.values(place), after=kind == "undo"))
        for place, change in changes.items()
    }
    over = [place for place, change in changes.items() if np.any((change.turned != 0) & (standing[place].turned == 0))]
    left = {place: change for place, change in standing.items() if change.turned.any()}
    if over and not partly:
        who = " and ".join(ledger.authors(tx, canvas, over)) or "Somebody"
        z, row, column = over[0]
        raise Stale(
            f"{who} painted over that stroke since (slice {z}, tile at row {row}, column {column}), so the {kind} "
            "would take their work away. Nothing was changed.",
            hint=f"To {kind} the rest of it: mlex {kind} {canvas.draft.dataset} {canvas.draft.name} --partly",
            details={"tiles": [ledger.shown(canvas, place).model_dump() for place in over[: ledger.TOLD]]},
        )
    return left


def commit(
    tx: Connection, canvas: Canvas, row: Row, turned: Mapping[Place, Change], author: str, key: str | None, kind: str
) -> Painted:
    """Turn it, and say so in the ledger."""
    draft, number = canvas.draft, canvas.draft.number + 1
    after: dict[Place, Bytes] = {}
    for place, change in turned.items():
        after[place] = canvas.values(place)
        change.turn(after[place])
    values = {
        int(value)
        for place, change in turned.items()
        for value in np.unique(after[place][change.box][change.turned != 0])
    }
    ledger.check_classes(draft, values - {0})
    canvas.write(number, after)
    pixels = sum(int(np.count_nonzero(change.turned)) for change in turned.values())
    changes = label_changes.c
    tx.execute(delete(label_changes).where(changes.labels == draft.labels, changes.number == row.number))
    ledger.keep_changes(tx, draft, row.number, turned)
    then = "undone" if kind == "undo" else "done"
    ledger.mark(tx, draft, [row.number], state=then if turned else "settled")
    about = {"of": row.number, "pixels": pixels, "key": key, "digest": kind}
    ledger.add_history(tx, draft.labels, number, kind=kind, state="settled", author=author, tiles=turned, **about)
    ledger.advance(tx, draft, number, author, kind, turned)
    tiles = tuple(ledger.shown(canvas, place) for place in turned)
    return ledger.acknowledged(tx, draft, number, kind, pixels, tiles, author)
