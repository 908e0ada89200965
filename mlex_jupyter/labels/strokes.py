"""Strokes: painted, refused, taken back, done again. Each is one transaction, durable before anybody hears of it.

Whoever paints says which version of each tile they saw. Where somebody else was there since, the stroke is a
conflict: it is kept as it was sent, and can be painted again over what is there now.
"""

from __future__ import annotations

import asyncio
import base64
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from pydantic import JsonValue
from sqlalchemy import Connection, delete, insert, select, update

from mlex_jupyter.errors import Conflict, Invalid, NotFound, Stale
from mlex_jupyter.events import append
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.labels import drafts
from mlex_jupyter.labels.bases import Bases
from mlex_jupyter.labels.drafts import Canvas, Working
from mlex_jupyter.labels.patches import Piece, cut_up, values_of
from mlex_jupyter.labels.tiles import Bytes, Change, Place
from mlex_jupyter.store import Store
from mlex_jupyter.tables import Row, label_changes, label_drafts, label_strokes
from mlex_jupyter.types import Painted, Stroke, Tile

STEPS = 200
"""How many strokes of each person can be taken back."""
REFUSED = 1000
"""How many refused strokes of a person are kept before the next is not taken."""
TOLD = 64
"""How many tiles a conflict shows as they are now."""


Look = Callable[[Collection[Place]], Canvas]
"""These tiles as they are, in the transaction that may change them."""


@dataclass(frozen=True)
class Refused:
    """A stroke that came too late, kept."""

    number: int
    stale: tuple[Tile, ...]
    authors: tuple[str, ...]
    draft: Working


class Strokes:
    """What can be done to the drafts of one home."""

    def __init__(self, store: Store, bases: Bases) -> None:
        self.store = store
        self.bases = bases

    # ------------------------------------------------------------ painting

    async def paint(self, draft: Working, stroke: Stroke, author: str) -> Painted:
        """Commit a stroke; Stale where a tile was changed since it was seen."""
        pieces = await asyncio.to_thread(cut_up, stroke.patches, draft.shape)
        seen = _seen(stroke, pieces)
        painted = values_of(pieces)
        digest = sha256(stroke.model_dump_json().encode()).hexdigest()

        def work(tx: Connection, now: Working, look: Look) -> Painted | Refused:
            if before := _asked_before(tx, now, author, stroke.key, digest):
                return _again(tx, now, before, author, look)
            _check_classes(now, painted)
            canvas = look(pieces)
            stale = [place for place in pieces if seen[place] < canvas.versions[place]]
            if stale:
                return _refuse(tx, canvas, stroke, stale, author, digest)
            return _commit(tx, canvas, pieces, author, key=stroke.key, digest=digest)

        return _or_raise(await self._change(draft, pieces, work))

    async def again(self, draft: Working, number: int, author: str) -> Painted:
        """Paint a refused stroke over what is there now."""

        def find(tx: Connection) -> Stroke:
            row = _row(tx, draft, number)
            if row.state != "refused":
                raise Conflict(f"The stroke {number} was not refused; it is {row.state}.")
            return Stroke.model_validate_json(zlib.decompress(row.request))

        stroke = await self.store.read(find)
        pieces = await asyncio.to_thread(cut_up, stroke.patches, draft.shape)

        def work(tx: Connection, now: Working, look: Look) -> Painted:
            find(tx)
            _check_classes(now, values_of(pieces))
            _set(tx, now, [number], state="settled", request=None)
            return _commit(tx, look(pieces), pieces, author, of=number)

        return _or_raise(await self._change(draft, pieces, work))

    async def drop(self, draft: Working, number: int) -> None:
        """Forget a refused stroke."""

        def work(tx: Connection) -> None:
            if _row(tx, draft, number).state != "refused":
                raise Conflict(f"The stroke {number} was not refused, so it cannot be dropped.")
            _set(tx, draft, [number], state="dropped", request=None)

        await self.store.write(work)

    # ------------------------------------------------------------ taking back

    async def undo(self, draft: Working, author: str, key: str | None, *, partly: bool) -> Painted:
        """Take one's own last stroke back."""
        return await self._turn(draft, author, key, partly, "undo")

    async def redo(self, draft: Working, author: str, key: str | None, *, partly: bool) -> Painted:
        """Do again what was taken back last."""
        return await self._turn(draft, author, key, partly, "redo")

    async def _turn(self, draft: Working, author: str, key: str | None, partly: bool, kind: str) -> Painted:
        def work(tx: Connection, now: Working, look: Look) -> Painted | Refused:
            if before := _asked_before(tx, now, author, key, kind):
                return _again(tx, now, before, author, look)
            if (row := _next(tx, now, author, kind)) is None:
                raise Conflict(
                    f"There is nothing to {kind} in {draft.name}.",
                    hint="Earlier states are kept as versions: restore one." if kind == "undo" else None,
                )
            changes = _changes(tx, now, row.number)
            canvas = look(changes)
            turned = _turned(tx, canvas, changes, kind, partly)
            return _commit_turn(tx, canvas, row, turned, author, key, kind)

        def touched(tx: Connection) -> list[Place]:
            row = _next(tx, draft, author, kind)
            return [(z, r, c) for z, r, c in row.tiles] if row is not None else []

        return _or_raise(await self._change(draft, await self.store.read(touched), work))

    # ------------------------------------------------------------ in common

    async def _change(
        self,
        draft: Working,
        places: Collection[Place],
        work: Callable[[Connection, Working, Look], Painted | Refused],
    ) -> Painted | Refused:
        """Do this in a transaction that has locked the draft; what the base holds is read before it begins."""
        places = list(places)

        def read_ahead() -> dict[Place, bytes]:
            rows = self.store.read_now(lambda tx: drafts.tile_rows(tx, draft.labels, set(places)))
            return drafts.base_values(self.bases, draft, [place for place in places if _lacks(rows, place)])

        held = await asyncio.to_thread(read_ahead)

        def change(tx: Connection) -> Painted | Refused:
            now = drafts.find(tx, draft.labels, lock=True)
            if now is None:
                raise NotFound("This label set is gone.")
            known = held if now.base == draft.base else {}

            def look(wanted: Collection[Place]) -> Canvas:
                rows = drafts.tile_rows(tx, now.labels, set(wanted))
                lacking = [place for place in wanted if _lacks(rows, place) and place not in known]
                return Canvas(tx, now, wanted, rows, {**known, **drafts.base_values(self.bases, now, lacking)})

            return work(tx, now, look)

        done = await self.store.write(change)
        failpoint("strokes.committed")
        return done


def _lacks(rows: drafts.TileRows, place: Place) -> bool:
    return place not in rows or rows[place][1] is None


def _again(tx: Connection, now: Working, row: Row, author: str, look: Look) -> Painted | Refused:
    """The answer to what was asked and done before."""
    places: list[Place] = [(z, r, c) for z, r, c in row.tiles]
    canvas = look(places)
    if row.state == "refused":
        return _refusal(tx, canvas, row.number, places)
    tiles = tuple(
        Tile(z=z, row=r, column=c, version=row.number) if row.kind == "stroke" else _shown(canvas, (z, r, c))
        for z, r, c in places
    )
    return _painted(tx, now, row.number, row.kind, row.pixels, tiles, author)


def _or_raise(done: Painted | Refused) -> Painted:
    if isinstance(done, Painted):
        return done
    first = done.stale[0]
    who = " and ".join(done.authors) or "Somebody"
    more = f" and {len(done.stale) - 1} more" if len(done.stale) > 1 else ""
    tiles: list[JsonValue] = [tile.model_dump() for tile in done.stale]
    raise Stale(
        f"{who} changed what was painted over: the tile at row {first.row}, column {first.column} of slice {first.z}"
        f"{more}. Nothing was painted; your stroke is kept as number {done.number}.",
        hint=f"Look at it, then paint it again: mlex paint-again {done.draft.dataset} {done.draft.name} {done.number}",
        details={"stroke": done.number, "number": done.draft.number, "tiles": tiles},
    )


def _seen(stroke: Stroke, places: Collection[Place]) -> dict[Place, int]:
    """The version of each tile that the person saw."""
    said = {(tile.z, tile.row, tile.column): tile.version for tile in stroke.tiles}
    if stroke.as_of is None and (unsaid := [place for place in places if place not in said]):
        z, row, column = unsaid[0]
        raise Invalid(
            f"The stroke does not say which version of the tile at row {row}, column {column} of slice {z} it was "
            "painted over.",
            hint="Give its version in `tiles`, or the draft's number in `as_of`.",
        )
    return {place: said.get(place, stroke.as_of or 0) for place in places}


def _check_classes(draft: Working, values: Collection[int]) -> None:
    known = draft.names()
    if unknown := sorted(set(values) - set(known)):
        raise Invalid(
            f"{draft.name} has no class of the value {', '.join(map(str, unknown))}.",
            hint=f"There are {', '.join(f'{value} ({name})' for value, name in known.items())}; 0 unlabels.",
        )


def _asked_before(tx: Connection, draft: Working, author: str, key: str | None, digest: str) -> Row | None:
    if key is None:
        return None
    strokes = label_strokes.c
    query = select(label_strokes).where(strokes.labels == draft.labels, strokes.author == author, strokes.key == key)
    row = tx.execute(query).one_or_none()
    if row is not None and row.digest != digest:
        raise Conflict(f"The key {key!r} was used for another change (number {row.number}).")
    return row


def _row(tx: Connection, draft: Working, number: int) -> Row:
    query = select(label_strokes).where(label_strokes.c.labels == draft.labels, label_strokes.c.number == number)
    if (row := tx.execute(query).one_or_none()) is None:
        raise NotFound(f"{draft.name} has no stroke {number}.", hint=f"mlex strokes {draft.dataset} {draft.name}")
    return row


def _set(tx: Connection, draft: Working, numbers: Collection[int], **values: Any) -> None:
    strokes = label_strokes.c
    tx.execute(
        update(label_strokes).where(strokes.labels == draft.labels, strokes.number.in_(numbers)).values(**values)
    )


# ---------------------------------------------------------------- a stroke


def _commit(tx: Connection, canvas: Canvas, pieces: Mapping[Place, list[Piece]], author: str, **about: Any) -> Painted:
    draft, number = canvas.draft, canvas.draft.number + 1
    after: dict[Place, Bytes] = {}
    for place, each in pieces.items():
        after[place] = canvas.values(place)
        for piece in each:
            piece.put(after[place])
    changes = canvas.write(number, after)
    pixels = sum(int(np.count_nonzero(change.turned)) for change in changes.values())
    if changes:
        _forget(tx, draft, author, "undone", "dropped")
        _keep(tx, draft, number, changes)
    state = "done" if changes else "settled"
    drafts.add_history(
        tx, draft.labels, number, kind="stroke", state=state, author=author, tiles=changes, pixels=pixels, **about
    )
    _settle(tx, draft, author)
    _advance(tx, draft, number, author, "stroke", changes)
    tiles = tuple(Tile(z=z, row=r, column=c, version=number) for z, r, c in changes)
    return _painted(tx, draft, number, "stroke", pixels, tiles, author)


def _keep(tx: Connection, draft: Working, number: int, changes: Mapping[Place, Change]) -> None:
    rows = [
        {"labels": draft.labels, "number": number, "z": z, "row": r, "col": c, "packed": change.packed()}
        for (z, r, c), change in changes.items()
    ]
    tx.execute(insert(label_changes), rows)


def _forget(tx: Connection, draft: Working, author: str, state: str, then: str, upto: int | None = None) -> None:
    """Strokes of somebody that stand so can no longer be taken back, or done again."""
    strokes = label_strokes.c
    found = select(strokes.number).where(
        strokes.labels == draft.labels, strokes.author == author, strokes.state == state
    )
    numbers = list(tx.execute(found if upto is None else found.where(strokes.number <= upto)).scalars())
    if numbers:
        changes = label_changes.c
        tx.execute(delete(label_changes).where(changes.labels == draft.labels, changes.number.in_(numbers)))
        _set(tx, draft, numbers, state=then)


def _settle(tx: Connection, draft: Working, author: str) -> None:
    """Keep no more steps than `STEPS`."""
    strokes = label_strokes.c
    mine = (strokes.labels == draft.labels, strokes.author == author, strokes.state == "done")
    query = select(strokes.number).where(*mine).order_by(strokes.number.desc()).offset(STEPS).limit(1)
    if (oldest := tx.execute(query).scalar()) is not None:
        _forget(tx, draft, author, "done", "settled", oldest)


def _advance(tx: Connection, draft: Working, number: int, author: str, kind: str, changes: Collection[Place]) -> None:
    values: dict[str, Any] = {"number": number}
    if changes:
        values["changed"] = number
        zs: list[JsonValue] = [*sorted({z for z, _, _ in changes})[:TOLD]]
        told: dict[str, JsonValue] = {"number": number, "change": kind, "author": author, "slices": zs}
        append(tx, draft.labels, "painted", told)
    tx.execute(update(label_drafts).where(label_drafts.c.labels == draft.labels).values(time=time.time(), **values))


def _painted(
    tx: Connection, draft: Working, number: int, kind: str, pixels: int, tiles: tuple[Tile, ...], author: str
) -> Painted:
    undo, redo, _ = drafts.steps(tx, draft.labels, author)
    return Painted(labels=draft.labels, number=number, kind=kind, pixels=pixels, tiles=tiles, undo=undo, redo=redo)


def _shown(canvas: Canvas, place: Place) -> Tile:
    z, row, column = place
    values = base64.b64encode(canvas.packed(place)).decode()
    return Tile(z=z, row=row, column=column, version=canvas.versions[place], values=values)


# ---------------------------------------------------------------- a conflict


def _refuse(tx: Connection, canvas: Canvas, stroke: Stroke, stale: list[Place], author: str, digest: str) -> Refused:
    draft, number = canvas.draft, canvas.draft.number + 1
    if drafts.steps(tx, draft.labels, author)[2] >= REFUSED:
        raise Conflict(
            f"{REFUSED} of your strokes were refused and wait; this one is not kept.",
            hint=f"Paint them again or drop them: mlex strokes {draft.dataset} {draft.name}",
        )
    request = zlib.compress(stroke.model_dump_json().encode(), 1)
    about = {"key": stroke.key, "digest": digest, "request": request}
    drafts.add_history(tx, draft.labels, number, kind="stroke", state="refused", author=author, tiles=stale, **about)
    _advance(tx, draft, number, author, "stroke", ())
    return _refusal(tx, canvas, number, stale)


def _refusal(tx: Connection, canvas: Canvas, number: int, stale: list[Place]) -> Refused:
    shown = tuple(_shown(canvas, place) for place in stale[:TOLD])
    return Refused(number, shown, _authors(tx, canvas, stale), canvas.draft)


def _authors(tx: Connection, canvas: Canvas, places: Collection[Place]) -> tuple[str, ...]:
    """Who made these tiles what they are."""
    strokes = label_strokes.c
    numbers = {canvas.versions[place] for place in list(places)[:TOLD]}
    query = select(strokes.author).where(strokes.labels == canvas.draft.labels, strokes.number.in_(numbers))
    return tuple(sorted({author for author in tx.execute(query).scalars() if author}))


# ---------------------------------------------------------------- taking back and doing again


def _next(tx: Connection, draft: Working, author: str, kind: str) -> Row | None:
    """The stroke that is turned next: the last that was done, or the first that was taken back."""
    strokes = label_strokes.c
    state, order = ("done", strokes.number.desc()) if kind == "undo" else ("undone", strokes.number)
    query = select(label_strokes).where(
        strokes.labels == draft.labels, strokes.author == author, strokes.state == state
    )
    return tx.execute(query.order_by(order).limit(1)).one_or_none()


def _changes(tx: Connection, draft: Working, number: int) -> dict[Place, Change]:
    changes = label_changes.c
    query = select(label_changes).where(changes.labels == draft.labels, changes.number == number)
    return {(row.z, row.row, row.col): Change.unpacked(row.packed) for row in tx.execute(query)}


def _turned(
    tx: Connection, canvas: Canvas, changes: Mapping[Place, Change], kind: str, partly: bool
) -> dict[Place, Change]:
    """What of a stroke is to be turned: all of it, or, where others painted over it, the rest."""
    standing = {
        place: change.only(change.stands(canvas.values(place), after=kind == "undo"))
        for place, change in changes.items()
    }
    over = [place for place, change in changes.items() if np.any((change.turned != 0) & (standing[place].turned == 0))]
    left = {place: change for place, change in standing.items() if change.turned.any()}
    if over and (not partly or not left):
        who = " and ".join(_authors(tx, canvas, over)) or "Somebody"
        z, row, column = over[0]
        raise Stale(
            f"{who} painted over that stroke since (slice {z}, tile at row {row}, column {column}), so the {kind} "
            "would take their work away. Nothing was changed.",
            hint=f"To {kind} the rest of it: mlex {kind} {canvas.draft.dataset} {canvas.draft.name} --partly"
            if left
            else None,
            details={"tiles": [_shown(canvas, place).model_dump() for place in over[:TOLD]]},
        )
    return left


def _commit_turn(
    tx: Connection, canvas: Canvas, row: Row, turned: Mapping[Place, Change], author: str, key: str | None, kind: str
) -> Painted:
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
    _check_classes(draft, values - {0})
    canvas.write(number, after)
    pixels = sum(int(np.count_nonzero(change.turned)) for change in turned.values())
    changes = label_changes.c
    tx.execute(delete(label_changes).where(changes.labels == draft.labels, changes.number == row.number))
    _keep(tx, draft, row.number, turned)
    _set(tx, draft, [row.number], state="undone" if kind == "undo" else "done")
    about = {"of": row.number, "pixels": pixels, "key": key, "digest": kind}
    drafts.add_history(tx, draft.labels, number, kind=kind, state="settled", author=author, tiles=turned, **about)
    _advance(tx, draft, number, author, kind, turned)
    tiles = tuple(_shown(canvas, place) for place in turned)
    return _painted(tx, draft, number, kind, pixels, tiles, author)
