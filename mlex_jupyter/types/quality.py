"""What a look at a volume finds: at its values, and at the bytes of its files."""

from __future__ import annotations

from typing import Literal

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


class Verification(Record):
    """Whether a dataset's files are what they were when its checksum was noted."""

    dataset: str
    name: str
    state: Literal["noted", "same", "changed", "running"]
    """`noted`: there was no checksum before, so this is the one to compare with from now on."""
    checksum: str | None = None
    """Of what lies there now."""
    expected: str | None = None
    """The one that was noted, where this is another."""
    files: int = 0
    nbytes: int = 0
    changed: tuple[str, ...] = ()
    """The first of the files that are not what they were, by the path below the folder; `.` is the file itself."""
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    says: str
    job: str | None = None
    """The job that reads a large one, in the background."""
    time: Time
