"""The card of a dataset: what people say of it, checked; and what of it may be corrected.

Shape, type and axes are the file's: what was trained on a dataset must find it as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mlex_jupyter.data.places import title
from mlex_jupyter.data.readers import VolumeInfo
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import NAME, ClassInfo, Dataset, invalid, new_id, now

ENDINGS = re.compile(r"(\.ome)?\.(zarr|npy|tiff?|h5|hdf5?|he5|nxs|nx5)(?=-|$)", re.IGNORECASE)
LONGEST = 100
LONGEST_TEXT = 10_000
MOST_NOTES = 100
LONGEST_NOTE = 500
KEY = re.compile(r"[^\W_][\w.-]{0,99}")


def described(
    info: VolumeInfo,
    name: str | None,
    pixel_size: float | None,
    pixel_unit: str | None,
    tags: Sequence[str],
    derived_from: Sequence[str],
    classes: Sequence[ClassInfo],
    more: Mapping[str, Any],
) -> Dataset:
    """The record that a person asks for; Invalid where it cannot be."""
    check_pixel(pixel_size)
    if pixel_unit is not None and pixel_size is None and info.pixel_size is None:
        raise Invalid(f"The unit {pixel_unit!r} needs a pixel size.", hint="Say both: --pixel-size 1 --pixel-unit µm")
    check_words((*tags, *([pixel_unit] if pixel_unit is not None else [])))
    check_notes(more["description"], more["meta"])
    if len({found.value for found in classes}) < len(classes):
        raise Invalid("Two classes have the same value.", hint="Give each class a value of its own.")
    given = None if pixel_size is None else _sides(pixel_size, info.axes)
    about = info.model_dump()
    about |= {"pixel_size": given or info.pixel_size, "pixel_unit": pixel_unit or (None if given else info.pixel_unit)}
    try:
        return Dataset(
            id=new_id("data"),
            name=name_from(info.uri) if name is None else name,
            tags=tuple(dict.fromkeys(tags)),
            derived_from=tuple(derived_from),
            classes=tuple(classes),
            created=now(),
            **about,
            **more,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        raise Invalid(f"{'.'.join(map(str, first['loc']))} cannot be {str(first['input'])!r}: {message}.") from error


def edited(
    before: Dataset,
    *,
    name: str | None = None,
    description: str | None = None,
    add_tags: Sequence[str] = (),
    remove_tags: Sequence[str] = (),
    meta: Mapping[str, str] | None = None,
    remove_meta: Sequence[str] = (),
    pixel_size: float | None = None,
    pixel_unit: str | None = None,
) -> Dataset:
    """The record as somebody corrects it; Invalid where it cannot be."""
    _check_there(remove_tags, before.tags, f"{before.name} has no tag", "Its tags are")
    _check_there(remove_meta, before.meta, f"{before.name} has no note", "Its notes are")
    check_words((*add_tags, *([pixel_unit] if pixel_unit is not None else [])))
    check_pixel(pixel_size)
    tags = dict.fromkeys(tag for tag in (*before.tags, *add_tags) if tag not in remove_tags)
    notes = {key: value for key, value in before.meta.items() if key not in remove_meta} | dict(meta or {})
    said = {
        "name": name,
        "description": description,
        "pixel_size": None if pixel_size is None else _sides(pixel_size, before.axes),
        "pixel_unit": pixel_unit,
    }
    changes = {field: value for field, value in said.items() if value is not None}
    check_notes(description or "", notes)
    if pixel_unit is not None and not (pixel_size or before.pixel_size):
        raise Invalid(f"The unit {pixel_unit!r} needs a pixel size.", hint="Say both: --pixel-size 1 --pixel-unit µm")
    try:
        return Dataset.model_validate(before.model_dump() | changes | {"tags": tuple(tags), "meta": notes})
    except ValidationError as error:
        raise invalid(error, "The dataset") from error


def _check_there(unwanted: Sequence[str], there: Sequence[str] | Mapping[str, str], no: str, these: str) -> None:
    for one in unwanted:
        if one not in there:
            raise Invalid(f"{no} {one[:LONGEST]!r}.", hint=f"{these} {', '.join(there)}." if there else None)


def _sides(pixel_size: float, axes: str) -> tuple[float, ...]:
    return (pixel_size,) * sum(axis in "zyx" for axis in axes)


def check_pixel(size: float | None) -> None:
    """Invalid where a pixel cannot have this size."""
    if size is not None and not 0 < size < float("inf"):
        raise Invalid(f"A pixel cannot be {size} wide.", hint="Say its size as a number above 0.")


def check_words(words: Sequence[str]) -> None:
    """Invalid where one cannot be a tag or a unit."""
    for word in words:
        if not word.strip() or len(word) > LONGEST or not word.isprintable():
            raise Invalid(f"{word[:LONGEST]!r} cannot be a tag or a unit.", hint="Use up to 100 printable characters.")


def check_notes(description: str, meta: Mapping[str, str]) -> None:
    """Invalid where these cannot be a description, or notes by key."""
    if len(description) > LONGEST_TEXT or len(meta) > MOST_NOTES:
        raise Invalid(
            f"A dataset has a description of at most {LONGEST_TEXT} letters and at most {MOST_NOTES} notes.",
            hint="Put what is longer into a file beside the data, and say its path here.",
        )
    for key, value in meta.items():
        if not KEY.fullmatch(key) or len(value) > LONGEST_NOTE or not value.isprintable():
            raise Invalid(
                f"{f'{key}={value}'[:LONGEST]!r} cannot be a note.",
                hint=f"Say key=value: the key of letters, digits, '.', '_' and '-', the value at most {LONGEST_NOTE}.",
            )


def name_from(path: str) -> str:
    """A valid name made of a file's own: `Rec 04 (final).ome.zarr` is `Rec-04-final`."""
    stem = ENDINGS.sub("", title(path))
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    return words[:LONGEST] if NAME.fullmatch(words[:LONGEST]) else "data"


def free_name(name: str, taken: set[str]) -> str:
    """The name, or its first free variation."""
    number, free = 1, name
    while free in taken:
        number += 1
        suffix = f"-{number}"
        free = name[: LONGEST - len(suffix)] + suffix
    return free
