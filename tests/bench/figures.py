"""A figure: what was measured, its baseline, and the limit that it must keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    baseline: float
    against: str
    """What the baseline is."""
    limit: float | None = None
    """The most that `value` may be."""
    least: float | None = None
    """The least that `value` may be."""

    @property
    def kept(self) -> bool:
        """Whether the limit holds."""
        return (self.limit is None or self.value <= self.limit) and (self.least is None or self.value >= self.least)

    @property
    def ratio(self) -> float:
        """Against the baseline."""
        return self.value / self.baseline if self.baseline else float("nan")


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies, among the measured ones."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return quantile(values, 0.5)


def interleaved(rounds: int, *works: Callable[[], float]) -> tuple[list[float], ...]:
    """What each work says, in turns, so that whatever else the machine does falls on all alike."""
    found: tuple[list[float], ...] = tuple([] for _ in works)
    for number in range(rounds):
        turn = range(len(works)) if number % 2 == 0 else reversed(range(len(works)))
        for index in turn:
            found[index].append(works[index]())
    return found


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
