"""Ahead: who looks at slice after slice is shown the next at once, since it was read while they looked at this one.

One answer is kept at most, for a moment, and only of what is quick to read: whoever asks for something else meanwhile
waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mlex_jupyter.data.frames import HALF
from mlex_jupyter.data.shelf import Key, stamp_of

SLICES = ("picture", "plane", "raster")
QUICK_S = 0.1
KEPT_S = 5.0

Done = tuple[Mapping[str, Any], bytes | memoryview]
Asked = dict[str, Any]


class Kept(NamedTuple):
    """An answer that nobody has asked for yet."""

    asked: Asked
    stamp: Key | None
    since: float
    took_s: float
    done: Done


class Ahead:
    """The answer to what will be asked next, perhaps."""

    def __init__(self) -> None:
        self._last: Asked = {}
        self._next: Asked | None = None
        self._kept: Kept | None = None

    def answer(self, asked: Asked, work: Callable[[Asked], Done]) -> Done:
        """What was made of this before it was asked for, or what this work makes of it."""
        kept, self._kept, begun = self._kept, None, time.monotonic()
        fits = kept is not None and kept.asked == asked and begun - kept.since < KEPT_S
        if kept is not None and fits and kept.stamp is not None and kept.stamp == stamp_of(_place(asked)):
            done, took_s = kept.done, kept.took_s
        else:
            done = work(asked)
            took_s = time.monotonic() - begun
        self._next = _next(self._last, asked) if took_s < QUICK_S and len(done[1]) <= HALF else None
        self._last = asked
        return done

    @property
    def goes_on(self) -> bool:
        """Whether there is something to be read ahead."""
        return self._next is not None

    def go_on(self, work: Callable[[Asked], Done]) -> None:
        """Read the next slice. What is wrong with it is said to whoever asks for it."""
        asked, self._next = self._next, None
        if asked is None:
            return
        begun, stamp = time.monotonic(), stamp_of(_place(asked))
        try:
            done = work(asked)
        except Exception:
            return
        if len(done[1]) <= HALF:
            self._kept = Kept(asked, stamp, begun, time.monotonic() - begun, done)


def _place(asked: Asked) -> str:
    return str(asked["dataset"]["uri"])


def _next(last: Asked, asked: Asked) -> Asked | None:
    """The slice behind this one, in the direction of one step from the last."""
    if asked["do"] not in SLICES or last.get("do") != asked["do"]:
        return None
    here, before = asked["index"], last["index"]
    if here is None or before is None or abs(here - before) != 1 or here + (here - before) < 0:
        return None
    return {**asked, "index": 2 * here - before} if last == {**asked, "index": before} else None
