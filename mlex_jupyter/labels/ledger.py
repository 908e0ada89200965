"""The ledger of a draft: every change with its number, who made it, and what it takes to take it back."""

from __future__ import annotations

import base64
import time
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue
from sqlalchemy import Connection, delete, func, insert, select, update

from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.events import append
from mlex_jupyter.labels.hands import Hand
from mlex_jupyter.labels.tiles import Change, Place
from mlex_jupyter.store.tables import Row, label_changes, label_drafts, label_strokes
from mlex_jupyter.types import Painted, Tile

if TYPE_CHECKING:
    from mlex_jupyter.labels.drafts import Canvas, Working

STEPS = 200
"""How many strokes of each person can be taken back in a window."""
WINDOWS = 5
"""Times as many in all of their windows together."""
TOLD = 64
"""How many tiles a conflict shows as they are now, and slices an event names."""


def add_history(
    tx: Connection,
    labels: str,
    number: int,
    *,
    kind: str,
    state: str,
    author: str,
    tiles: Iterable[Place],
    **more: Any,
) -> None:
    """Write down what happened to a draft."""
    tx.execute(
        insert(label_strokes).values(
            labels=labels,
            number=number,
            kind=kind,
            state=state,
            author=author,
            tiles=[list(place) for place in tiles],
            time=time.time(),
            **more,
        )
    )


def steps(tx: Connection, labels: str, hand: Hand) -> tuple[int, int, int]:
    """How many of somebody's strokes can be taken back, how many done again, and how many of all were refused."""
    strokes = label_strokes.c
    query = (
        select(strokes.state, func.count())
        .where(*hand.strokes(labels), strokes.state.in_(("done", "undone", "refused")))
        .group_by(strokes.state)
    )
    found = {state: int(count) for state, count in tx.execute(query)}
    return found.get("done", 0), found.get("undone", 0), found.get("refused", 0)


def asked_before(tx: Connection, draft: Working, author: str, key: str | None, digest: str) -> Row | None:
    """The entry that this request made when it was made before; asked in other words it is a conflict."""
    if key is None:
        return None
    strokes = label_strokes.c
    query = select(label_strokes).where(strokes.labels == draft.labels, strokes.author == author, strokes.key == key)
    row = tx.execute(query).one_or_none()
    if row is not None and row.digest != digest:
        raise Conflict(f"The key {key!r} was used for another change (number {row.number}).")
    return row


def entry(tx: Connection, draft: Working, number: int) -> Row:
    """One entry by its number."""
    query = select(label_strokes).where(label_strokes.c.labels == draft.labels, label_strokes.c.number == number)
    if (row := tx.execute(query).one_or_none()) is None:
        raise NotFound(f"{draft.name} has no stroke {number}.", hint=f"mlex strokes {draft.dataset} {draft.name}")
    return row


def mark(tx: Connection, draft: Working, numbers: Collection[int], **values: Any) -> None:
    """Say how these entries stand now."""
    strokes = label_strokes.c
    tx.execute(
        update(label_strokes).where(strokes.labels == draft.labels, strokes.number.in_(numbers)).values(**values)
    )


def keep_changes(tx: Connection, draft: Working, number: int, changes: Mapping[Place, Change]) -> None:
    """Keep what it takes to take a stroke back."""
    rows = [
        {"labels": draft.labels, "number": number, "z": z, "row": r, "col": c, "packed": change.packed()}
        for (z, r, c), change in changes.items()
    ]
    if rows:
        tx.execute(insert(label_changes), rows)


def forget(tx: Connection, draft: Working, hand: Hand, state: str, then: str, upto: int | None = None) -> None:
    """Strokes of somebody that stand so can no longer be taken back, or done again."""
    strokes = label_strokes.c
    found = select(strokes.number).where(*hand.strokes(draft.labels), strokes.state == state)
    numbers = list(tx.execute(found if upto is None else found.where(strokes.number <= upto)).scalars())
    if numbers:
        changes = label_changes.c
        tx.execute(delete(label_changes).where(changes.labels == draft.labels, changes.number.in_(numbers)))
        mark(tx, draft, numbers, state=then)


def settle(tx: Connection, draft: Working, hand: Hand) -> None:
    """Keep no more steps than `STEPS` of a window, and not those of ever more windows."""
    strokes = label_strokes.c
    anywhere = (Hand(hand.author), STEPS * WINDOWS)
    for whose, steps in ((hand, STEPS), anywhere) if hand.window is not None else ((hand, STEPS),):
        mine = (*whose.strokes(draft.labels), strokes.state == "done")
        query = select(strokes.number).where(*mine).order_by(strokes.number.desc()).offset(steps).limit(1)
        if (oldest := tx.execute(query).scalar()) is not None:
            forget(tx, draft, whose, "done", "settled", oldest)


def advance(tx: Connection, draft: Working, number: int, author: str, kind: str, changes: Collection[Place]) -> None:
    """Give the draft its new number, and tell everybody where something changed."""
    values: dict[str, Any] = {"number": number}
    if changes:
        values["changed"] = number
        zs: list[JsonValue] = [*sorted({z for z, _, _ in changes})[:TOLD]]
        told: dict[str, JsonValue] = {"number": number, "change": kind, "author": author, "slices": zs}
        append(tx, draft.labels, "painted", told)
    tx.execute(update(label_drafts).where(label_drafts.c.labels == draft.labels).values(time=time.time(), **values))


def acknowledged(
    tx: Connection, draft: Working, number: int, kind: str, pixels: int, tiles: tuple[Tile, ...], hand: Hand
) -> Painted:
    """What the person hears who made a change."""
    undo, redo, _ = steps(tx, draft.labels, hand)
    return Painted(labels=draft.labels, number=number, kind=kind, pixels=pixels, tiles=tiles, undo=undo, redo=redo)


def shown(canvas: Canvas, place: Place) -> Tile:
    """A tile as it is now."""
    z, row, column = place
    values = base64.b64encode(canvas.packed(place)).decode()
    return Tile(z=z, row=row, column=column, version=canvas.versions[place], values=values)


def authors(tx: Connection, canvas: Canvas, places: Collection[Place]) -> tuple[str, ...]:
    """Who made these tiles what they are."""
    strokes = label_strokes.c
    numbers = {canvas.versions[place] for place in list(places)[:TOLD]}
    query = select(strokes.author).where(strokes.labels == canvas.draft.labels, strokes.number.in_(numbers))
    return tuple(sorted({author for author in tx.execute(query).scalars() if author}))


def check_classes(draft: Working, values: Collection[int]) -> None:
    """Invalid for values that no class has."""
    known = draft.names()
    if unknown := sorted(set(values) - set(known)):
        raise Invalid(
            f"{draft.name} has no class of the value {', '.join(map(str, unknown))}.",
            hint=f"There are {', '.join(f'{value} ({name})' for value, name in known.items())}; 0 unlabels.",
        )


def changes_of(tx: Connection, draft: Working, number: int) -> dict[Place, Change]:
    """What a stroke did to each tile."""
    changes = label_changes.c
    query = select(label_changes).where(changes.labels == draft.labels, changes.number == number)
    return {(row.z, row.row, row.col): Change.unpacked(row.packed) for row in tx.execute(query)}
