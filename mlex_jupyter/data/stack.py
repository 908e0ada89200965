"""Stacks: the TIFFs of a folder, or those that match a pattern, one slice after another by the numbers in their names.

Opening looks at the first, the middle and the last file; each other one is looked at when it is read.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlex_jupyter.data.inside import check_inside
from mlex_jupyter.data.places import is_pattern, matching
from mlex_jupyter.data.readers import ZARR_MARKS, opened
from mlex_jupyter.data.tiff import open_tiff
from mlex_jupyter.data.volume import SPACE, Volume
from mlex_jupyter.errors import Invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENDINGS = (".tif", ".tiff")
NUMBER = re.compile(r"([0-9]+)")


class StackReader:
    """A folder of TIFFs, or a pattern such as `recon_*.tif`."""

    name = "stack"

    def opens(self, uri: str) -> bool:
        """A folder with TIFFs in it, or a pattern for them."""
        place = Path(uri)
        if not place.is_dir():
            return not place.exists() and is_pattern(uri) and uri.lower().endswith(ENDINGS)
        return not any((place / mark).exists() for mark in ZARR_MARKS) and any(map(_is_tiff, os.listdir(place)))

    def open(self, uri: str, axes: str | None = None) -> Volume:
        """Look at three of the files; the others are opened when their slices are asked for."""
        return opened(open_stack, uri, axes)


def open_stack(uri: str, axes: str | None) -> Volume:
    """The files as one volume."""
    folder, names = _files(uri)
    files = Files(folder, names)
    return Volume(
        files,
        uri=uri,
        reader="stack",
        said_axes=files.axes,
        axes=axes,
        chunks=(1, *files.shape[1:]),
        pixel_sizes=files.pixel_sizes,
        pixel_unit=files.pixel_unit,
    )


class Files:
    """TIFFs of one shape and type, stacked; each is opened for as long as it is read."""

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        self._folder, self._names = os.path.realpath(folder), names
        with self._opened(names[0]) as first:
            self._like = (first.shape, first.dtype, first.axes)
            self.dtype = first.dtype
            if "z" in first.axes[1:]:
                raise Invalid(f"{names[0]} has the axes {first.axes}; only files whose slices come first are stacked.")
            self._pages = first.shape[0] if first.axes[0] == "z" else 1
            self.axes = "z" + first.axes.removeprefix("z")
            space = [axis for axis in first.axes if axis in SPACE]
            self.pixel_sizes = dict(zip(space, first.pixel_size, strict=True)) if first.pixel_size else {}
            self.pixel_unit = first.pixel_unit
        self.shape: tuple[int, ...] = (len(names) * self._pages, *self._like[0][self._like[2][0] == "z" :])
        for name in {names[len(names) // 2], names[-1]}:
            self._alike(name).close()

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Read the slices from their files."""
        import numpy as np

        places = range(*index[0].indices(self.shape[0]))
        lengths = [len(range(*item.indices(length))) for item, length in zip(index, self.shape, strict=True)]
        out = np.empty(lengths, self.dtype)
        for number in {place // self._pages: None for place in places}:
            with self._alike(self._names[number]) as file:
                for to, place in enumerate(places):
                    if place // self._pages == number:
                        page = (place % self._pages,) if file.axes[0] == "z" else ()
                        out[to] = file[(*page, *index[1:])]
        return out

    def _alike(self, name: str) -> Volume:
        file = self._opened(name)
        if (found := (file.shape, file.dtype, file.axes)) == self._like:
            return file
        file.close()
        raise Invalid(
            f"{name} is {_words(*found)}, but {self._names[0]} is {_words(*self._like)}.",
            hint="All files of a stack are alike. A pattern leaves the others out: 'recon_*.tif'.",
        )

    def _opened(self, name: str) -> Volume:
        path = os.path.join(self._folder, name)
        check_inside(path, self._folder)
        if not os.path.isfile(path):
            raise Invalid(f"{path} is missing; it was there when the stack was opened.", hint="Put it back.")
        return opened(open_tiff, path, None)


def _words(shape: tuple[int, ...], dtype: Any, axes: str) -> str:
    return f"{dtype.name} {axes} {shape}"


# ---------------------------------------------------------------- which files, in which order


def _files(uri: str) -> tuple[str, list[str]]:
    """The folder and the names of the files; of a whole folder they must be one series without a gap."""
    if os.path.isdir(uri):
        names = sorted(filter(_is_tiff, os.listdir(uri)), key=_natural)
        _check_series(names)
        return uri, names
    names = sorted(filter(_is_tiff, matching(uri)), key=_natural)
    if not names:
        raise Invalid(f"No TIFF matches {uri}.")
    return os.path.dirname(uri), names


def _is_tiff(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _natural(name: str) -> tuple[list[int | str], str]:
    """So that slice_9 comes before slice_10."""
    return [int(part) if place % 2 else part for place, part in enumerate(NUMBER.split(name))], name


def _check_series(names: Sequence[str]) -> None:
    """Invalid where the files of a folder are not one series: a name of another kind, two numbers that count, a gap."""
    kinds = {name: NUMBER.sub("#", name) for name in names}
    usual, _ = Counter(kinds.values()).most_common(1)[0]
    hint = "Say which belong together by a pattern, such as 'recon_*.tif'."
    if odd := next((name for name in names if kinds[name] != usual), None):
        raise Invalid(f"The folder has {len(names)} TIFFs, and {odd!r} is not named like the others.", hint=hint)
    columns = [column for column in zip(*(NUMBER.findall(name) for name in names), strict=True) if len({*column}) > 1]
    if len(columns) > 1:
        raise Invalid(f"The names count in more than one number, from {names[0]!r} to {names[-1]!r}.", hint=hint)
    if not columns:
        return
    counted = [int(number) for number in columns[0]]
    steps = [after - before for before, after in itertools.pairwise(counted)]
    usual_step = min(steps)
    gap = next((place for place, step in enumerate(steps) if step != usual_step), None)
    if gap is not None:
        raise Invalid(f"Between {names[gap]!r} and {names[gap + 1]!r} files are missing.", hint=hint)
