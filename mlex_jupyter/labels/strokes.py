"""Strokes: painted, refused, taken back, done again. Each is one transaction, durable before anybody hears of it.

Whoever paints says which version of each tile they saw. Where somebody else was there since, the stroke is a
conflict: it is kept as it was sent, and can be painted again over what is there now.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from pydantic import JsonValue
from sqlalchemy import Connection

from mlex_jupyter.errors import Conflict, Invalid, NotFound, Stale
from mlex_jupyter.labels import drafts, ledger, turns
from mlex_jupyter.labels.bases import Bases
from mlex_jupyter.labels.drafts import Canvas, Working
from mlex_jupyter.labels.hands import Hand
from mlex_jupyter.labels.patches import Piece, cut_up, values_of
from mlex_jupyter.labels.tiles import Bytes, Place
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import Row
from mlex_jupyter.types import Painted, Stroke, Tile

REFUSED = 1000
"""How many refused strokes of a person are kept before the next is not taken."""


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
        hand = Hand(author, stroke.window)
        digest = sha256(stroke.model_dump_json().encode()).hexdigest()

        def work(tx: Connection, now: Working, look: Look) -> Painted | Refused:
            if before := ledger.asked_before(tx, now, author, stroke.key, digest):
                return _again(tx, now, before, hand, look)
            ledger.check_classes(now, painted)
            canvas = look(pieces)
            stale = [place for place in pieces if seen[place] < canvas.versions[place]]
            if stale:
                return _refuse(tx, canvas, stroke, stale, hand, digest)
            return _commit(tx, canvas, pieces, hand, key=stroke.key, digest=digest)

        return _or_raise(await self._change(draft, pieces, work))

    async def again(self, draft: Working, number: int, author: str) -> Painted:
        """Paint a refused stroke over what is there now."""

        def find(tx: Connection) -> Stroke:
            row = ledger.entry(tx, draft, number)
            if row.state != "refused":
                raise Conflict(f"The stroke {number} was not refused; it is {row.state}.")
            return Stroke.model_validate_json(zlib.decompress(row.request))

        stroke = await self.store.read(find)
        pieces = await asyncio.to_thread(cut_up, stroke.patches, draft.shape)

        def work(tx: Connection, now: Working, look: Look) -> Painted:
            find(tx)
            ledger.check_classes(now, values_of(pieces))
            ledger.mark(tx, now, [number], state="settled", request=None)
            return _commit(tx, look(pieces), pieces, Hand(author, stroke.window), of=number)

        return _or_raise(await self._change(draft, pieces, work))

    async def drop(self, draft: Working, number: int) -> None:
        """Forget a refused stroke."""

        def work(tx: Connection) -> None:
            if ledger.entry(tx, draft, number).state != "refused":
                raise Conflict(f"The stroke {number} was not refused, so it cannot be dropped.")
            ledger.mark(tx, draft, [number], state="dropped", request=None)

        await self.store.write(work)

    # ------------------------------------------------------------ taking back

    async def undo(self, draft: Working, hand: Hand, key: str | None, *, partly: bool) -> Painted:
        """Take one's own last stroke back."""
        return await self._turn(draft, hand, key, partly, "undo")

    async def redo(self, draft: Working, hand: Hand, key: str | None, *, partly: bool) -> Painted:
        """Do again what was taken back last."""
        return await self._turn(draft, hand, key, partly, "redo")

    async def _turn(self, draft: Working, hand: Hand, key: str | None, partly: bool, kind: str) -> Painted:
        def work(tx: Connection, now: Working, look: Look) -> Painted | Refused:
            if before := ledger.asked_before(tx, now, hand.author, key, kind):
                return _again(tx, now, before, hand, look)
            if (row := turns.next_to_turn(tx, now, hand, kind)) is None:
                here = " by this window" if hand.window is not None else ""
                raise Conflict(
                    f"There is nothing to {kind} in {draft.name}{here}.",
                    hint="Earlier states are kept as versions: restore one." if kind == "undo" else None,
                )
            changes = ledger.changes_of(tx, now, row.number)
            canvas = look(changes)
            turned = turns.what_stands(tx, canvas, changes, hand, kind, partly)
            return turns.commit(tx, canvas, row, turned, hand, key, kind)

        def touched(tx: Connection) -> list[Place]:
            row = turns.next_to_turn(tx, draft, hand, kind)
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

        return await self.store.write(change)


def _lacks(rows: drafts.TileRows, place: Place) -> bool:
    return place not in rows or rows[place][1] is None


def _again(tx: Connection, now: Working, row: Row, hand: Hand, look: Look) -> Painted | Refused:
    """The answer to what was asked and done before."""
    places: list[Place] = [(z, r, c) for z, r, c in row.tiles]
    canvas = look(places)
    if row.state == "refused":
        return _refusal(tx, canvas, row.number, places)
    tiles = tuple(
        Tile(z=z, row=r, column=c, version=row.number) if row.kind == "stroke" else ledger.shown(canvas, (z, r, c))
        for z, r, c in places
    )
    return ledger.acknowledged(tx, now, row.number, row.kind, row.pixels, tiles, hand)


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


# ---------------------------------------------------------------- a stroke


def _commit(tx: Connection, canvas: Canvas, pieces: Mapping[Place, list[Piece]], hand: Hand, **about: Any) -> Painted:
    draft, number = canvas.draft, canvas.draft.number + 1
    after: dict[Place, Bytes] = {}
    for place, each in pieces.items():
        after[place] = canvas.values(place)
        for piece in each:
            piece.put(after[place])
    changes = canvas.write(number, after)
    pixels = sum(int(np.count_nonzero(change.turned)) for change in changes.values())
    if changes:
        ledger.forget(tx, draft, hand, "undone", "dropped")
        ledger.keep_changes(tx, draft, number, changes)
    state = "done" if changes else "settled"
    about |= {"pixels": pixels, **hand._asdict()}
    ledger.add_history(tx, draft.labels, number, kind="stroke", state=state, tiles=changes, **about)
    ledger.settle(tx, draft, hand)
    ledger.advance(tx, draft, number, hand.author, "stroke", changes)
    tiles = tuple(Tile(z=z, row=r, column=c, version=number) for z, r, c in changes)
    return ledger.acknowledged(tx, draft, number, "stroke", pixels, tiles, hand)


# ---------------------------------------------------------------- a conflict


def _refuse(tx: Connection, canvas: Canvas, stroke: Stroke, stale: list[Place], hand: Hand, digest: str) -> Refused:
    draft, number = canvas.draft, canvas.draft.number + 1
    if ledger.steps(tx, draft.labels, Hand(hand.author))[2] >= REFUSED:
        raise Conflict(
            f"{REFUSED} of your strokes were refused and wait; this one is not kept.",
            hint=f"Paint them again or drop them: mlex strokes {draft.dataset} {draft.name}",
        )
    request = zlib.compress(stroke.model_dump_json().encode(), 1)
    about = {"key": stroke.key, "digest": digest, "request": request, **hand._asdict()}
    ledger.add_history(tx, draft.labels, number, kind="stroke", state="refused", tiles=stale, **about)
    ledger.advance(tx, draft, number, hand.author, "stroke", ())
    return _refusal(tx, canvas, number, stale)


def _refusal(tx: Connection, canvas: Canvas, number: int, stale: list[Place]) -> Refused:
    shown = tuple(ledger.shown(canvas, place) for place in stale[: ledger.TOLD])
    return Refused(number, shown, ledger.authors(tx, canvas, stale), canvas.draft)
