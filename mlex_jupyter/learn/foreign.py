"""Weights of other programs: `convert(source, target)` makes safetensors of a file that `torch.save` wrote.

A process of its own reads it, `python -m mlex_jupyter.learn.foreign SOURCE TARGET`, without torch and without network,
that can write into the target's folder only, and prints what it found as one line of JSON. Such a file is a pickle, and
a pickle is a program; here it is none, see `tensorpickle`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlex_jupyter.data.readerprocess import limit
from mlex_jupyter.data.sandbox import confine
from mlex_jupyter.errors import Conflict, Invalid, MlexError, NotFound
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn.tensorpickle import Found, Tensor, read
from mlex_jupyter.types import Record

TIME_S = 600
SPARE_BYTES = 1 << 29
WRAPPERS = ("_orig_mod.", "module.")


class Converted(Record):
    """What became of a foreign file."""

    path: str
    tensors: int
    nbytes: int
    refused: tuple[str, ...] = ()
    """What it named that is no tensor, and was not built."""
    left_aside: tuple[str, ...] = ()
    """What it holds besides the weights, as an optimizer."""


def convert(source: Path, target: Path, *, time_s: float = TIME_S) -> Converted:
    """Read the tensors of a foreign file, in a process that can do no harm, and write them as safetensors."""
    if not source.is_file():
        raise NotFound(f"There is no file {source}.")
    if target.exists():
        raise Conflict(f"{target} is there already.", hint="Choose another name.")
    command = [sys.executable, "-P", "-m", "mlex_jupyter.learn.foreign", str(source.absolute()), str(target.absolute())]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=time_s, stdin=subprocess.DEVNULL)
        answer: dict[str, Any] = json.loads(said.stdout)
    except subprocess.TimeoutExpired:
        raise Invalid(f"{source.name} kept its reader busy for {time_s:g} s, and was given up.") from None
    except ValueError:
        raise Invalid(f"{source.name} ended its reader.", hint="It is damaged, or was made to do harm.") from None
    if "error" in answer:
        raise Invalid(f"{source.name} is not taken: {answer['error']}", hint=answer["hint"])
    return Converted(path=str(target), **answer)


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors in the format of safetensors: the length of a JSON header, the header, the bytes."""
    header: dict[str, Any] = {}
    parts, at = list[bytes](), 0
    for name, tensor in tensors.items():
        part = tensor.values.tobytes()
        offsets = [at, at + len(part)]
        header[name] = {"dtype": tensor.kind.name, "shape": list(tensor.values.shape), "data_offsets": offsets}
        parts.append(part)
        at += len(part)
    said = json.dumps(header).encode()
    said += b" " * (-len(said) % 8)
    return b"".join((len(said).to_bytes(8, "little"), said, *parts))


def unwrapped(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The same, named as they are without what torch wraps around a network that is compiled or shared."""
    for wrapper in WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def main(source: str, target: str) -> int:
    """Convert, and say what was found."""
    limit(4 * os.path.getsize(source) + SPARE_BYTES, niceness=5)
    confine(reads=[os.path.dirname(source)], writes=[os.path.dirname(target)], urls=False)
    try:
        found = read(Path(source))
        write_whole(Path(target), packed(unwrapped(found.tensors)))
        answer = _answer(found)
    except MlexError as error:
        answer = {"error": error.message, "hint": error.hint}
    except MemoryError:
        answer = {"error": "It needs more memory than its size explains.", "hint": None}
    print(json.dumps(answer))
    return 0


def _answer(found: Found) -> dict[str, Any]:
    sizes = [tensor.values.nbytes for tensor in found.tensors.values()]
    others = {"refused": sorted(found.refused), "left_aside": sorted(found.left_aside)}
    return {"tensors": len(sizes), "nbytes": sum(sizes), **others}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
