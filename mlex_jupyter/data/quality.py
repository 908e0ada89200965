"""The quality of a volume in plain words: what its values are like, and what to mind before one trains on it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence

from mlex_jupyter.data.measure import measure
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.types import ClassInfo, Dataset, Quality, now

FEW_VALUES = 8
LEVELS = 16
SATURATED = 0.005
RARE = 0.001
TIMES = 50


def examine(
    volume: Volume, dataset: Dataset, budget_bytes: int, *, painted: bool
) -> Generator[dict[str, int], None, Quality]:
    """Look at all values, or at as many as the budget allows; `painted` ones are labels, of which 0 is none."""
    found = yield from measure(volume, budget_bytes)
    counts: dict[int, int] = found.pop("counts", {})
    segmented = bool(dataset.classes) or painted or (dataset.dtype in ("bool", "uint8") and len(counts) <= FEW_VALUES)
    quality = Quality(dataset=dataset.id, name=dataset.name, computed=now(), **found)
    if not segmented:
        return quality.model_copy(update={"warnings": tuple(of_values(quality, dataset.dtype))})
    classes = by_class(counts, dataset.classes, painted=painted)
    quality = quality.model_copy(update={"classes": classes})
    if painted:
        return quality.model_copy(update={"warnings": tuple(of_labels(quality)), "empty": ()})
    return quality.model_copy(update={"warnings": tuple(of_classes(quality))})


def by_class(counts: Mapping[int, int], classes: Sequence[ClassInfo], *, painted: bool) -> dict[str, int]:
    """Pixels by the class's name; a value that no class has by its number."""
    names = {found.value: found.name for found in classes} | ({0: "unlabelled"} if painted else {})
    missing = {found.name: 0 for found in classes if found.value not in counts}
    return {names.get(value, f"value {value}"): some for value, some in counts.items()} | missing


# ---------------------------------------------------------------- in words


def of_values(found: Quality, dtype: str) -> Iterator[str]:
    """What to mind of grey values."""
    yield from _part_only(found)
    bad = found.nan + found.infinite
    if bad:
        where = [one.z for one in found.per_slice if one.bad]
        yield (
            f"{_share(bad, found.pixels)} values are not numbers or infinite, in {_slices(where)}: training and "
            "prediction refuse them. Replace them, for example by the lowest value, and register the result."
        )
    if found.minimum is None:
        return
    if found.minimum == found.maximum:
        yield f"There is one value everywhere, {found.minimum:g}: is it the file that you meant?"
        return
    yield from _empty(found)
    top, bottom = (some / max(1, found.pixels - bad) for some in (found.at_highest, found.at_lowest))
    if top > SATURATED:
        yield (
            f"{top:.1%} of the pixels have the highest value, {found.maximum:g}: what was brighter was cut off, and "
            "there is nothing to tell apart."
        )
    if bottom > SATURATED and not _background(found):
        yield f"{bottom:.1%} of the pixels have the lowest value, {found.minimum:g}: what was darker was cut off."
    spread = found.percentiles["99.5"] - found.percentiles["0.5"]
    if "int" in dtype and spread < LEVELS:
        yield (
            f"Nearly all values lie within {spread + 1:g} grey levels: much was lost when it was saved as {dtype}. "
            "Save it anew from the reconstruction, scaled to the type's range."
        )
    elif spread and (found.maximum or 0) - found.minimum > 1000 * spread:
        yield (
            f"A few values lie far away from all others ({found.minimum:g} to {found.maximum:g}, nearly all within "
            f"{found.percentiles['0.5']:g} to {found.percentiles['99.5']:g}): hot pixels, or rings."
        )


def of_classes(found: Quality) -> Iterator[str]:
    """What to mind of a segmentation."""
    yield from _part_only(found)
    yield from _empty(found)
    for name, some in found.classes.items():
        if some == 0:
            yield f"There is no pixel of {name}."
        elif some < RARE * found.pixels:
            yield f"{name} has only {_share(some, found.pixels)} pixels."
        elif name.startswith("value ") and not all(other.startswith("value ") for other in found.classes):
            yield f"{_share(some, found.pixels)} pixels have the {name}, which is no class."


def of_labels(found: Quality) -> Iterator[str]:
    """What to mind of labels before training on them."""
    yield from _part_only(found)
    painted = {name: some for name, some in found.classes.items() if name != "unlabelled"}
    most = max(painted, key=lambda name: painted[name], default="")
    for name, some in painted.items():
        if some == 0:
            yield f"Nothing is labelled as {name}: paint some, or training cannot learn it."
        elif painted[most] > TIMES * some:
            yield f"{name} has {painted[most] / some:.0f} times fewer labelled pixels than {most}: paint more of it."
    labelled = sum(not one.empty or bool(one.high) for one in found.per_slice)
    if labelled < 2 and found.slices > 1:
        yield (
            f"Labels are on {labelled} of {found.slices} slices: with two or more, some can be kept apart to judge by."
        )


def _part_only(found: Quality) -> Iterator[str]:
    if found.looked_at < found.slices:
        yield (
            f"Only {found.looked_at} of {found.slices} slices were looked at, evenly spread, since the volume is "
            "large; `--whole` looks at all."
        )


def _empty(found: Quality) -> Iterator[str]:
    """Slices without anything: in one sentence for the beginning, the end and between."""
    looked_at = [one.z for one in found.per_slice]
    empty = set(found.empty)
    if not empty or len(empty) == len(looked_at):
        return
    first = next(place for place, z in enumerate(looked_at) if z not in empty)
    last = next(place for place, z in enumerate(reversed(looked_at)) if z not in empty)
    parts = {
        "at the beginning": looked_at[:first],
        "at the end": looked_at[len(looked_at) - last :],
        "in between": [z for z in looked_at[first : len(looked_at) - last] if z in empty],
    }
    for where, those in parts.items():
        if those:
            verb = "is" if len(those) == 1 else "are"
            yield f"{_slices(those)} {where} {verb} empty: label others, and train on others."


def _slices(those: Sequence[int]) -> str:
    """`slice 7`, `12 slices (52 to 63)`, `3 slices (1, 5, 9)`."""
    if len(those) == 1:
        return f"slice {those[0]}"
    if those[-1] - those[0] == len(those) - 1:
        return f"{len(those)} slices ({those[0]} to {those[-1]})"
    shown = ", ".join(map(str, those[:8])) + (", …" if len(those) > 8 else "")
    return f"{len(those)} slices ({shown})"


def _share(some: int, of: int) -> str:
    return f"{some / of:.1%}" if some >= SATURATED * of else f"{some:,} of {of:,}"


def _background(found: Quality) -> bool:
    """Zeros around a sample are meant."""
    return found.minimum == 0
