"""A safetensors file, looked at without trust: its header says what it holds, and the header must be true."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mlex_jupyter.errors import Invalid

HEADER_BYTES = 16 << 20
OTHERS = "Weights in other formats can run code."
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "BOOL": 8}


def check_tensors(path: Path) -> int:
    """How many tensors there are; Invalid where the file is no safetensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER_BYTES, size - 8):
            raise Invalid(f"{path.name} is no safetensors file.", hint=OTHERS)
        try:
            header = json.loads(file.read(length))
            held = [_span(about) for name, about in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Invalid(f"{path.name} is no safetensors file.", hint=OTHERS) from None
    end = 0
    for start, stop, needed in sorted(held):
        if start != end or stop - start != needed:
            raise Invalid(f"{path.name} is damaged: its tensors do not stand where it says.")
        end = stop
    if not held or end != size - 8 - length:
        raise Invalid(f"{path.name} is damaged: it has another length than it says.")
    return len(held)


def _span(about: dict[str, Any]) -> tuple[int, int, int]:
    start, stop = about["data_offsets"]
    shape = [int(side) for side in about["shape"]]
    if min(shape, default=1) < 0:
        raise ValueError(shape)
    return int(start), int(stop), math.prod(shape) * BITS[str(about["dtype"])] // 8
