"""The reign of one supervisor: whatever it writes is refused once another one's has begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from mlex_jupyter.store import EPOCH, Store, current_epoch

T = TypeVar("T")


class Superseded(Exception):
    """Another supervisor reigns; whatever this one knows is old."""


class Reign:
    """Writes that hold only as long as this epoch does: that of the whole home, or of one host's own jobs."""

    def __init__(self, store: Store, epoch: int, of: str = EPOCH) -> None:
        self.store = store
        self.epoch = epoch
        self.of = of

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Write, or Superseded."""

        def checked(tx: Connection) -> T:
            if current_epoch(tx, self.of) != self.epoch:
                raise Superseded
            return work(tx)

        return await self.store.write(checked)
