"""Which slices are worth labelling next: those of which a prediction is least sure, spread over the volume."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mlex_jupyter.types import SliceFound

BESIDE = 2
"""Neighbours look alike: the next but one is the nearest that is worth it."""


def suggested(slices: Sequence[SliceFound], labelled: Collection[int], count: int) -> list[SliceFound]:
    """At most so many, the least sure first; none is labelled or beside another, or beside a labelled one."""
    if not slices:
        return []
    length = max(one.z for one in slices) - min(one.z for one in slices) + 1
    apart = max(BESIDE, length // (2 * max(1, count)))
    unsure = sorted(slices, key=lambda one: (-one.uncertainty, one.z))
    while True:
        found: list[SliceFound] = []
        for one in unsure:
            near = any(abs(one.z - z) < BESIDE for z in labelled) or any(abs(one.z - two.z) < apart for two in found)
            if not near and len(found) < count:
                found.append(one)
        if len(found) == count or apart == BESIDE:
            return found
        apart = max(BESIDE, apart // 2)
