"""The tensors in a file that `torch.save` wrote, read without torch, and without running anything that is in it.

    archive/data.pkl     a pickle, of which only the building of tensors, dicts and lists is understood
    archive/data/0 …     the tensors' bytes, as they are

Whatever else the pickle names becomes a dead thing that does nothing, and is said to be refused.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.errors import Invalid

Raw = NDArray[np.generic]
KINDS = {
    "DoubleStorage": ("F64", "<f8"),
    "FloatStorage": ("F32", "<f4"),
    "HalfStorage": ("F16", "<f2"),
    "BFloat16Storage": ("BF16", "<u2"),
    "LongStorage": ("I64", "<i8"),
    "IntStorage": ("I32", "<i4"),
    "ShortStorage": ("I16", "<i2"),
    "CharStorage": ("I8", "i1"),
    "ByteStorage": ("U8", "u1"),
    "BoolStorage": ("BOOL", "u1"),
}
"""Torch's name, safetensors' name, and how numpy reads the bytes."""
PLAIN = ("torch.Size", "torch.device", "torch.float32", "torch.float64", "torch.float16", "torch.bfloat16")
MOST_PICKLE = 64 << 20
MOST_TENSORS, DEEPEST = 100_000, 60


@dataclass(frozen=True)
class Kind:
    """A type of number."""

    name: str
    code: str


@dataclass(frozen=True)
class Storage:
    """Bytes in the file that tensors are cut from."""

    kind: Kind
    key: str


@dataclass(frozen=True)
class Tensor:
    """A tensor that was found."""

    kind: Kind
    values: Raw


@dataclass
class Found:
    """What a file holds."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    left_aside: set[str] = field(default_factory=set)


class Dead:
    """In the place of anything that is not a tensor: it takes all that a pickle does to it, and does nothing."""

    def __init__(self, *given: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Kept, since a network keeps its tensors there."""
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        """Not kept."""

    def append(self, value: object) -> None:
        """Not kept."""

    extend = append


def read(path: Path) -> Found:
    """All tensors by name, and what was refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _collect(_Reader(archive))
    except zipfile.BadZipFile:
        raise Invalid(
            f"{path.name} is no file of torch 1.6 or later.",
            hint="Where you trust it, load it in torch, and save its state_dict() again.",
        ) from None


class _Reader(pickle.Unpickler):
    """Knows how tensors are built, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive, self.found = archive, Found()
        self._storages: dict[Storage, Raw] = {}
        self.entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
        if any(name.startswith("code/") or name == "constants.pkl" for name in self.entries):
            raise Invalid(
                "It is TorchScript, which is a program.", hint="Save the state_dict() of the network instead."
            )
        if "data.pkl" not in self.entries:
            raise Invalid("It has no data.pkl, so that torch did not write it.")
        if self.entries["data.pkl"].file_size > MOST_PICKLE:
            raise Invalid("What it says besides its tensors is too long.")
        if "byteorder" in self.entries and self.bytes_of("byteorder") == b"big":
            raise Invalid("It was written on a computer with the other byte order.")
        super().__init__(io.BytesIO(self.bytes_of("data.pkl")))

    def bytes_of(self, name: str) -> bytes:
        """An entry as it is; torch compresses nothing, and what is not compressed cannot swell."""
        entry = self.entries.get(name)
        if entry is None:
            raise Invalid(f"Its {name} is missing.", hint="Was it copied in full?")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise Invalid(f"Its {name[:60]} is compressed, which torch does not do.")
        return self.archive.read(entry)

    def find_class(self, module: str, name: str) -> Any:
        """Only what tensors are made of; never Python's own look-up."""
        whole = f"{module}.{name}"
        if whole == "collections.OrderedDict":
            return collections.OrderedDict
        if module == "torch" and name in KINDS:
            return Kind(*KINDS[name])
        if whole in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            return self._tensor
        if whole in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
            return _parameter
        if whole not in PLAIN:
            self.found.refused.add(whole[:200])
        return type("Dead", (Dead,), {"__module__": __name__})

    def persistent_load(self, pid: Any) -> Storage:
        """A place in the file."""
        match pid:
            case ("storage", Kind() as kind, str(key), str(), int()) if key.isalnum():
                return Storage(kind, key)
        raise pickle.UnpicklingError("a storage of another kind")

    def _tensor(self, storage: Any, offset: Any, sizes: Any, strides: Any, *more: object) -> Any:
        if not isinstance(storage, Storage):
            self.found.refused.add("a tensor of another kind")
            return Dead()
        values = self._values(storage)
        numbers = (offset, *sizes, *strides)
        whole = len(sizes) == len(strides) <= 16 and all(type(one) is int and 0 <= one < 1 << 40 for one in numbers)
        if not whole or math.prod(sizes) > len(values):
            raise pickle.UnpicklingError("a tensor that is larger than its bytes")
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if math.prod(sizes) and last >= len(values):
            raise pickle.UnpicklingError("a tensor that reaches beyond its bytes")
        if not math.prod(sizes):
            return Tensor(storage.kind, np.empty(sizes, storage.kind.code))
        steps = [stride * values.itemsize for stride in strides]
        cut = np.lib.stride_tricks.as_strided(values[offset:], sizes, steps, writeable=False)
        return Tensor(storage.kind, np.ascontiguousarray(cut).reshape(sizes))

    def _values(self, storage: Storage) -> Raw:
        if storage not in self._storages:
            self._storages[storage] = np.frombuffer(self.bytes_of(f"data/{storage.key}"), storage.kind.code)
        return self._storages[storage]


def _parameter(data: object, *more: object) -> object:
    return data


# ---------------------------------------------------------------- by name


def _collect(reader: _Reader) -> Found:
    try:
        top = reader.load()
    except Invalid:
        raise
    except MemoryError:
        raise Invalid("It says more than fits into memory.") from None
    except Exception as error:  # a pickle that was made to do harm fails in any way
        raise Invalid(f"It cannot be read: {str(error)[:200]}.", hint="It is damaged, or not what it seems.") from None
    found = reader.found
    for name, tensor in _walk(_weights(top, found), (), set(), found):
        if name != "__metadata__":  # which safetensors keeps for itself
            found.tensors.setdefault(name, tensor)
    if not found.tensors:
        refused = f" It names {', '.join(sorted(found.refused)[:5])}." if found.refused else ""
        raise Invalid(f"There are no tensors in it.{refused}")
    return found


def _weights(top: object, found: Found) -> object:
    """The part with the weights, where a file also has an optimizer, settings and the like."""
    if isinstance(top, dict):
        for name in ("state_dict", "model_state_dict", "model"):
            if isinstance(top.get(name), dict | Dead):
                found.left_aside |= {str(key)[:100] for key in top if key != name}
                return top[name]
    return top


def _walk(thing: object, path: tuple[str, ...], seen: set[int], found: Found) -> Iterator[tuple[str, Tensor]]:
    """Tensors in dicts, lists and whole networks, named as `state_dict` would name them."""
    if isinstance(thing, Tensor):
        yield ".".join(path) or "tensor", thing
        return
    if isinstance(thing, Dead):
        thing = getattr(thing, "state", None)
    if id(thing) in seen or len(path) > DEEPEST or len(found.tensors) > MOST_TENSORS:
        return
    seen.add(id(thing))
    inside: Any = ()
    if isinstance(thing, dict):
        inside = thing.items()
    elif isinstance(thing, list | tuple):
        inside = enumerate(thing)
    for key, value in inside:
        hidden = key in ("_parameters", "_buffers", "_modules")
        yield from _walk(value, path if hidden else (*path, str(key)[:200]), seen, found)
