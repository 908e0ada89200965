"""Counts: labelled pixels by value and class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlex_jupyter.errors import Invalid
from mlex_jupyter.labels.drafts import Balance
from mlex_jupyter.labels.tiles import Bytes, counted
from mlex_jupyter.types import ClassInfo


def tally(values: Bytes) -> dict[int, int]:
    """Labelled pixels by value."""
    counts = counted(values)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts) if value}


def total(balance: Balance, classes: Sequence[ClassInfo]) -> dict[str, int]:
    """Labelled pixels by class name; Invalid for values that no class has."""
    by_value: dict[int, int] = {}
    for counts in balance.values():
        for value, count in counts.items():
            by_value[value] = by_value.get(value, 0) + count
    if unknown := sorted(set(by_value) - {found.value for found in classes}):
        raise Invalid(
            f"The labels have values without a class: {', '.join(map(str, unknown))}.",
            hint=f"There are {', '.join(f'{c.value} ({c.name})' for c in classes)}. Say all classes with --classes.",
        )
    return {found.name: by_value.get(found.value, 0) for found in classes}


def mapped(counts: Mapping[int, int], table: Mapping[int, int]) -> dict[int, int]:
    """Counts once some values have become others."""
    found: dict[int, int] = {}
    for value, count in counts.items():
        if other := table.get(value, value):
            found[other] = found.get(other, 0) + count
    return found
