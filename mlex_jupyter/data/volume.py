"""Volume: an array on disk that is read piece by piece, with its axes and pixel size.

volume[10]                   one slice, read when asked for
volume[:, 100:200, ::2]      any integers, slices and `...`, as with NumPy
volume.slice_CYX(10)         channels, rows and columns, whatever the file's own order is
"""

from __future__ import annotations

import math
import operator
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Protocol, Self

from mlex_jupyter.data.axes import choose_axes
from mlex_jupyter.errors import Invalid, MlexError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPACE = "zyx"
LARGEST = 1 << 50
"""A quadrillion values: more than any detector has made."""

Index = int | slice | EllipsisType

Empty = Callable[[Sequence[int], Any], Any]
"""`np.empty`, or what gives other memory."""


class Source(Protocol):
    """What a reader hands to a Volume: it is only ever asked with one slice a dimension, steps above 0.

    One that decodes into memory of the caller's has `filled(index, empty)` too.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of every dimension."""

    @property
    def dtype(self) -> Any:
        """The type of the values on disk."""

    def __getitem__(self, index: tuple[slice, ...], /) -> Any:
        """This piece, as an array."""


class Volume:
    """An array on disk, opened for reading."""

    def __init__(
        self,
        source: Source,
        *,
        uri: str,
        reader: str,
        said_axes: str | None = None,
        axes: str | None = None,
        chunks: tuple[int, ...] | None = None,
        pixel_sizes: Mapping[str, float] | None = None,
        pixel_unit: str | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        """`said_axes` and `pixel_sizes` (by axis) are what the file says; `axes` is what a person wants instead."""
        self._close = weakref.finalize(self, close) if close else None
        try:
            _check_real(source, uri)
            self.axes = choose_axes(source.shape, said=said_axes, wanted=axes)
        except MlexError:
            self.close()
            raise
        self._source = source
        self._lead = len(source.shape) - len(self.axes)
        self.uri = uri
        self.reader = reader
        self.shape = tuple(int(length) for length in source.shape[self._lead :])
        self.dtype: np.dtype[Any] = source.dtype.newbyteorder("=")
        self.chunks = tuple(chunks[self._lead :]) if chunks else None
        sizes = pixel_sizes or {}
        space = [axis for axis in self.axes if axis in SPACE]
        self.pixel_size = tuple(sizes[axis] for axis in space) if all(axis in sizes for axis in space) else None
        self.pixel_unit = pixel_unit if self.pixel_size else None

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The size of all values, uncompressed."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size

    @cached_property
    def shape_ZCYX(self) -> tuple[int, int, int, int]:
        """Slices, channels, rows, columns; 1 for what the volume does not have."""
        lengths = dict(zip(self.axes, self.shape, strict=True))
        return lengths.get("z", 1), lengths.get("c", 1), lengths["y"], lengths["x"]

    def slice_CYX(self, z: int) -> NDArray[Any]:
        """One slice as channels, rows, columns."""
        if "z" not in self.axes and z != 0:
            raise IndexError(f"The volume has one slice, not {z + 1}.")
        piece = self[tuple(z if axis == "z" else slice(None) for axis in self.axes)]
        axes = self.axes.replace("z", "")
        if "c" not in axes:
            piece, axes = piece[None], "c" + axes
        return piece.transpose([axes.index(axis) for axis in "cyx"])

    def __getitem__(self, index: Index | tuple[Index, ...]) -> NDArray[Any]:
        """Read this piece, in the machine's own byte order."""
        return self.read(index)

    def read(self, index: Index | tuple[Index, ...], empty: Empty | None = None) -> NDArray[Any]:
        """`volume[index]`, in memory of the caller's, where its source can do that."""
        import numpy as np

        asked = [_one(item, length) for item, length in zip(_full(index, self.ndim), self.shape, strict=True)]
        lead = (slice(0, 1),) * self._lead
        try:
            cut = lead + tuple(read for read, _ in asked)
            filled = getattr(self._source, "filled", None) if empty else None
            piece = np.asarray(filled(cut, empty) if filled else self._source[cut])
        except MlexError:
            raise
        except Exception as error:  # a codec, a missing or a damaged chunk: each library has its own errors
            raise unreadable(self.uri, error) from error
        piece = piece.reshape(piece.shape[self._lead :])[tuple(after for _, after in asked)]
        return np.ascontiguousarray(piece, dtype=self.dtype) if piece.ndim else piece.astype(self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all of it, for `np.asarray(volume)`."""
        return self[...] if dtype is None else self[...].astype(dtype)

    def __repr__(self) -> str:
        """Axes, shape, type and place."""
        return f"<Volume {self.axes} {'×'.join(map(str, self.shape))} {self.dtype.name} {self.uri}>"

    def close(self) -> None:
        """Let go of the file; done also when the volume is forgotten."""
        if self._close:
            self._close()

    def __enter__(self) -> Self:
        """Closed at the end of the block."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Let go of the file."""
        self.close()


def unreadable(uri: str, error: Exception) -> Invalid:
    """The one sentence for a file that its library cannot read."""
    if isinstance(error, MemoryError):
        return Invalid(f"{uri} needs more memory than may be used for it.", hint="See the setting reader_memory_gb.")
    first = (str(error).strip().splitlines() or [""])[0]
    return Invalid(
        f"{uri} cannot be read: {type(error).__name__}: {first[:300]}",
        hint="The file may be damaged, cut off, or compressed in a way that needs another package (imagecodecs).",
    )


def _check_real(source: Source, uri: str) -> None:
    """Refuse what is not an array of real numbers with at least one value."""
    if source.dtype.kind not in "buif" or source.dtype.itemsize > 8:
        raise Invalid(
            f"{uri} holds values of the type {source.dtype}; a volume has real numbers of at most 64 bits.",
            hint="Save it as integers or floats.",
        )
    if len(source.shape) < 2 or 0 in source.shape:
        raise Invalid(f"{uri} has the shape {tuple(source.shape)}; a volume has two dimensions or more, none empty.")
    if min(source.shape) < 0 or math.prod(map(int, source.shape)) > LARGEST:
        raise Invalid(f"{uri} says that it has the shape {tuple(source.shape)}, which no volume has.")


def _full(index: Index | tuple[Index, ...], ndim: int) -> tuple[int | slice, ...]:
    """One integer or slice a dimension."""
    items = index if isinstance(index, tuple) else (index,)
    dots = [place for place, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise IndexError("An index has '...' at most once.")
    place = dots[0] if dots else len(items)
    before, after = items[:place], items[place + 1 :]
    missing = ndim - len(before) - len(after)
    if missing < 0:
        raise IndexError(f"The volume has {ndim} dimensions, and {len(before) + len(after)} were asked for.")
    return (*before, *(slice(None),) * missing, *after)  # type: ignore[arg-type]


def _one(item: int | slice, length: int) -> tuple[slice, int | slice]:
    """What to read of a dimension, forwards, and what to do with the piece afterwards."""
    if not isinstance(item, slice):
        try:
            place = operator.index(item)
        except TypeError:
            raise IndexError(f"A volume takes integers, slices and '...', not {type(item).__name__}.") from None
        if not -length <= place < length:
            raise IndexError(f"{place} is outside of a dimension of length {length}.")
        place %= length
        return slice(place, place + 1), 0
    places = range(*item.indices(length))
    if not places:
        return slice(0, 0), slice(None)
    forwards = places if places.step > 0 else places[::-1]
    return slice(forwards[0], forwards[-1] + 1, forwards.step), slice(None, None, 1 if places.step > 0 else -1)


def beginning_of(room: memoryview) -> Empty:
    """What gives this memory to the first that fits."""
    import numpy as np

    given = False

    def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
        nonlocal given
        size = math.prod(shape) * dtype.itemsize
        if given or not 0 < size <= len(room):
            return np.empty(shape, dtype)
        given = True
        return np.frombuffer(room[:size], dtype).reshape(shape)

    return empty
