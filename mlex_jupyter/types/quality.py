"""What a look at all values of a volume finds."""

from __future__ import annotations

from mlex_jupyter.types.base import Record, Time


class SliceQuality(Record):
    """One slice."""

    z: int
    low: float | None
    """None where no value is a number."""
    high: float | None
    mean: float | None
    bad: int
    """Values that are not numbers, or infinite."""
    at_ends: int
    """Pixels at the volume's lowest or highest value."""
    empty: bool
    """One value everywhere, or none."""


class Histogram(Record):
    """How often values lie in bins of equal width."""

    low: float
    high: float
    counts: tuple[int, ...]


class Quality(Record):
    """What the values of a volume are like, and what to mind in training."""

    dataset: str
    name: str
    slices: int
    looked_at: int
    """Fewer than there are where the volume is too large to be read whole for this."""
    pixels: int
    """Values that were looked at."""
    nan: int = 0
    infinite: int = 0
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    percentiles: dict[str, float] = {}
    at_lowest: int = 0
    """Pixels with the lowest value."""
    at_highest: int = 0
    histogram: Histogram | None = None
    classes: dict[str, int] = {}
    """Pixels by class, of a segmentation or a label set."""
    empty: tuple[int, ...] = ()
    """The z of slices with one value everywhere."""
    per_slice: tuple[SliceQuality, ...] = ()
    warnings: tuple[str, ...] = ()
    mark: str | None = None
    """What changes when the file does."""
    computed: Time
