"""How fast a run goes, how long it will take, and what is due to be said."""

from __future__ import annotations

import time
from collections import deque


class Pace:
    """A clock over steps; `before` are seconds that earlier attempts spent."""

    def __init__(self, total: int, done: int = 0, before: float = 0.0) -> None:
        self.total = total
        self.done = done
        self._before = before
        self._begun = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque([(self._begun, done)], maxlen=200)
        self._last: dict[str, float] = {}

    def step(self, steps: int = 1) -> None:
        """So many more are done."""
        self.done += steps
        self._recent.append((time.monotonic(), self.done))

    def seconds(self) -> float:
        """Spent so far, by all attempts."""
        return round(self._before + time.monotonic() - self._begun, 3)

    def eta_s(self) -> float | None:
        """Seconds left, by the pace of the last steps; None before the second."""
        (since, first), (now, last) = self._recent[0], self._recent[-1]
        if last - first < 2:
            return None
        return round((now - since) / (last - first) * (self.total - self.done), 1)

    def every(self, what: str, seconds: float, *, at_once: bool = True) -> bool:
        """True when this is due: the first time at once, or after the seconds, and from then on every so often."""
        now = time.monotonic()
        last = self._last.setdefault(what, -seconds if at_once else self._begun)
        if now - last < seconds:
            return False
        self._last[what] = now
        return True
