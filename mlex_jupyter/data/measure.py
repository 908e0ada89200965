"""The values of a volume, counted band by band: as much memory as a band takes, however large the volume is.

Small integers are counted value by value, so all that is said of them is exact; of others, percentiles and histogram
come from a sample of their values.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.data.volume import Volume

BAND_BYTES = 1 << 24
SAMPLE = 1 << 20
BINS = 64
PERCENTILES = (0.5, 5, 25, 50, 75, 95, 99.5)
WIDE = 4.0
"""Outliers further away than so many times the spread of nearly all values are left out of the histogram."""

Array = NDArray[Any]
Box = tuple[int, int, int, int]
"""First and last z and y, the last excluded."""


def boxes(volume: Volume, budget_bytes: int) -> list[list[Box]]:
    """The pieces in which to read, those of the same slices together: all, or as many as the budget allows."""
    slices, channels, rows, columns = volume.shape_ZCYX
    row_bytes = channels * columns * volume.dtype.itemsize
    chunk = dict(zip(volume.axes, volume.chunks or (), strict=False))
    depth = max(1, min(chunk.get("z", 1), slices, BAND_BYTES // (row_bytes * rows)))
    height = max(1, BAND_BYTES // (row_bytes * depth))
    if height < rows and "y" in chunk:
        height = max(1, height // chunk["y"]) * chunk["y"]
    bands = [
        [(z, min(z + depth, slices), y, min(y + height, rows)) for y in range(0, rows, height)]
        for z in range(0, slices, depth)
    ]
    most = max(2, budget_bytes // (depth * rows * row_bytes))
    if len(bands) <= most:
        return bands
    return [bands[place] for place in np.unique(np.linspace(0, len(bands) - 1, most).round().astype(int))]


def measure(volume: Volume, budget_bytes: int) -> Generator[dict[str, int], None, dict[str, Any]]:
    """Count; says each band that is done. What it returns are the fields of a `Quality`, without its words."""
    bands = boxes(volume, budget_bytes)
    small = volume.dtype.kind in "bui" and volume.dtype.itemsize <= 2
    pixels = sum((z1 - z0) * (y1 - y0) for band in bands for z0, z1, y0, y1 in band) * volume.shape[-1]
    kind = Exact(volume.dtype) if small else Sampled(max(1, pixels // SAMPLE))
    slices: list[Slice] = []
    for number, band in enumerate(bands):
        fresh = [Slice(z) for z in range(band[0][0], band[0][1])]
        for box in band:
            for found, values in zip(fresh, _values(volume, box), strict=True):
                kind.add(found, values)
        slices += fresh
        yield {"done": number + 1, "of": len(bands)}
    return _summary(volume, slices, kind)


def _values(volume: Volume, box: Box) -> Iterator[Array]:
    """The values of a piece, slice by slice, in a row."""
    cuts = {"z": slice(box[0], box[1]), "y": slice(box[2], box[3])}
    piece = volume[tuple(cuts.get(axis, slice(None)) for axis in volume.axes)]
    by_slice = np.moveaxis(piece, volume.axes.index("z"), 0) if "z" in volume.axes else piece[None]
    return (values.reshape(-1) for values in by_slice)


class Slice:
    """What is known of a slice."""

    def __init__(self, z: int) -> None:
        self.z = z
        self.count = self.nan = self.infinite = self.at_low = self.at_high = 0
        self.total = self.squares = 0.0
        self.low, self.high = np.inf, -np.inf

    def extend(self, low: float, at_low: int, high: float, at_high: int) -> None:
        """Take the ends of some more values in."""
        if low <= self.low:
            self.at_low = at_low + (self.at_low if low == self.low else 0)
            self.low = low
        if high >= self.high:
            self.at_high = at_high + (self.at_high if high == self.high else 0)
            self.high = high


class Exact:
    """Small integers, counted value by value."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.first = 0 if dtype.kind in "bu" else int(np.iinfo(dtype).min)
        self.counts = np.zeros(2 if dtype.kind == "b" else 1 << (8 * dtype.itemsize), np.int64)
        self.values = np.arange(self.first, self.first + len(self.counts), dtype=np.float64)

    def add(self, found: Slice, values: Array) -> None:
        """Count some values of a slice."""
        places = values.astype(np.intp)
        if self.first:
            places -= self.first
        counts = np.bincount(places, minlength=len(self.counts))
        there = np.flatnonzero(counts)
        some, numbers = counts[there], self.values[there]
        found.count += int(values.size)
        found.total += float(numbers @ some)
        found.squares += float((numbers * numbers) @ some)
        found.extend(float(numbers[0]), int(some[0]), float(numbers[-1]), int(some[-1]))
        self.counts += counts

    def spread(self) -> tuple[Array, Array]:
        """The values that there are, and how often."""
        there = np.flatnonzero(self.counts)
        return self.values[there], self.counts[there]


class Sampled:
    """Other numbers: every so many of them is kept."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.kept: list[Array] = []

    def add(self, found: Slice, values: Array) -> None:
        """Look at some values of a slice."""
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                nan = int(np.isnan(values).sum())
                found.nan += nan
                found.infinite += int(values.size - finite.sum()) - nan
                values = values[finite]
        if not values.size:
            return
        low, high = values.min(), values.max()
        wide = values.astype(np.float64)
        found.count += int(values.size)
        found.total += float(wide.sum())
        found.squares += float(np.dot(wide, wide))
        found.extend(float(low), int((values == low).sum()), float(high), int((values == high).sum()))
        self.kept.append(wide[:: self.step].copy())

    def spread(self) -> tuple[Array, Array]:
        """The values that were kept, each once for every time."""
        values = np.sort(np.concatenate(self.kept)) if self.kept else np.empty(0)
        return values, np.ones(len(values), np.int64)


def _summary(volume: Volume, slices: list[Slice], kind: Exact | Sampled) -> dict[str, Any]:
    count = sum(found.count for found in slices)
    nan, infinite = sum(found.nan for found in slices), sum(found.infinite for found in slices)
    known: dict[str, Any] = {
        "slices": volume.shape_ZCYX[0],
        "looked_at": len(slices),
        "pixels": count + nan + infinite,
        "nan": nan,
        "infinite": infinite,
        "empty": [found.z for found in slices if found.low >= found.high],
    }
    low = min((found.low for found in slices if found.count), default=np.nan)
    high = max((found.high for found in slices if found.count), default=np.nan)
    known["per_slice"] = [_of_slice(found, low, high) for found in slices]
    if not count:
        return known
    mean = sum(found.total for found in slices) / count
    variance = max(0.0, sum(found.squares for found in slices) / count - mean * mean)
    values, often = kind.spread()
    known |= {"minimum": low, "maximum": high, "mean": mean, "std": variance**0.5}
    known["at_lowest"] = sum(found.at_low for found in slices if found.low == low)
    known["at_highest"] = sum(found.at_high for found in slices if found.high == high)
    known["percentiles"] = {
        f"{p:g}": value for p, value in zip(PERCENTILES, _at(values, often, PERCENTILES), strict=True)
    }
    known["histogram"] = _histogram(values, often, low, high, whole_numbers=volume.dtype.kind in "bui")
    if isinstance(kind, Exact):
        known["counts"] = {int(value): int(some) for value, some in zip(values[:256], often[:256], strict=True)}
    return known


def _of_slice(found: Slice, low: float, high: float) -> dict[str, Any]:
    numbers = {"low": found.low, "high": found.high, "mean": found.total / max(1, found.count)}
    ends = (found.at_low if found.low == low else 0) + (found.at_high if found.high == high and high > low else 0)
    return {
        "z": found.z,
        **(numbers if found.count else dict.fromkeys(numbers)),
        "bad": found.nan + found.infinite,
        "at_ends": ends,
        "empty": found.low >= found.high,
    }


def _at(values: Array, often: Array, percents: tuple[float, ...]) -> list[float]:
    """The values below which so many percent lie."""
    up_to = np.cumsum(often)
    places = np.searchsorted(up_to, np.asarray(percents) / 100 * up_to[-1])
    return [float(values[min(place, len(values) - 1)]) for place in places]


def _histogram(values: Array, often: Array, low: float, high: float, *, whole_numbers: bool) -> dict[str, Any]:
    first, last = _at(values, often, (0.1, 99.9))
    if high - low > WIDE * (last - first) > 0:
        low, high = first, last
    bins = min(BINS, int(high - low) + 1) if whole_numbers else BINS
    top = high + 1 if whole_numbers else high if high > low else low + 1
    counts, _ = np.histogram(values, bins=bins, range=(low, top), weights=often)
    return {"low": float(low), "high": float(high), "counts": [int(some) for some in counts]}
