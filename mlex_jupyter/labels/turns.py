"""Turning strokes: taken back and done again.

Nobody's work is taken away with it: where others painted over a stroke since, it is a conflict, or the rest is turned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection, delete, select

from mlex_jupyter.errors import Stale
from mlex_jupyter.labels import ledger
from mlex_jupyter.labels.drafts import Canvas, Working
from mlex_jupyter.labels.hands import Hand
from mlex_jupyter.labels.tiles import Bytes, Change, Place
from mlex_jupyter.store.tables import Row, label_changes, label_strokes
from mlex_jupyter.types import Painted


def next_to_turn(tx: Connection, draft: Working, hand: Hand, kind: str) -> Row | None:
    """The stroke that is turned next: the last that was done, or the first that was taken back."""
    strokes = label_strokes.c
    state, order = ("done", strokes.number.desc()) if kind == "undo" else ("undone", strokes.number)
    query = select(label_strokes).where(*hand.strokes(draft.labels), strokes.state == state)
    return tx.execute(query.order_by(order).limit(1)).one_or_none()


def what_stands(
    tx: Connection, canvas: Canvas, changes: Mapping[Place, Change], hand: Hand, kind: str, partly: bool
) -> dict[Place, Change]:
    """What of a stroke is to be turned: all of it, or, where others painted over it, the rest."""
    standing = {
        place: change.only(change.stands(canvas.seen(place), after=kind == "undo")) for place, change in changes.items()
    }
    over = [place for place, change in changes.items() if np.any((change.turned != 0) & (standing[place].turned == 0))]
    left = {place: change for place, change in standing.items() if change.turned.any()}
    if over and not partly:
        z, row, column = over[0]
        raise Stale(
            f"{_who(tx, canvas, over, hand)} painted over that stroke since (slice {z}, tile at row {row}, column "
            f"{column}), so the {kind} would take that away. Nothing was changed.",
            hint=f"To {kind} the rest of it: mlex {kind} {canvas.draft.dataset} {canvas.draft.name} --partly",
            details={"tiles": [ledger.shown(canvas, place).model_dump() for place in over[: ledger.TOLD]]},
        )
    return left


def _who(tx: Connection, canvas: Canvas, over: Sequence[Place], hand: Hand) -> str:
    """Whose work it is; one's own where it was painted in another window."""
    authors = list(ledger.authors(tx, canvas, over))
    if hand.window is None or hand.author not in authors:
        return " and ".join(authors) or "Somebody"
    others = [name for name in authors if name != hand.author]
    return " and ".join(["You yourself, in another window,", *others])


def commit(
    tx: Connection, canvas: Canvas, row: Row, turned: Mapping[Place, Change], hand: Hand, key: str | None, kind: str
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
    about = {"of": row.number, "pixels": pixels, "key": key, "digest": kind, **hand._asdict()}
    ledger.add_history(tx, draft.labels, number, kind=kind, state="settled", tiles=turned, **about)
    ledger.advance(tx, draft, number, hand.author, kind, turned)
    tiles = tuple(ledger.shown(canvas, place) for place in turned)
    return ledger.acknowledged(tx, draft, number, kind, pixels, tiles, hand)
