"""Masks as COCO writes them: run lengths down the columns, as numbers or in its own compact text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlex_jupyter.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST = 7
"""Letters of one number: 35 bits."""


def counts_of(mask: NDArray[np.bool_]) -> list[int]:
    """So many not set, so many set, …, column by column."""
    import numpy as np

    flat = mask.T.reshape(-1)
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.concatenate([[0] if flat[:1].any() else [], [0], turns, [flat.size]]).astype(np.int64)
    return [int(count) for count in np.diff(ends)]


def mask_of(counts: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """What `counts_of` wrote; Invalid where the numbers do not make the mask."""
    import numpy as np

    if len(counts) > height * width + 2 or not all(type(count) is int and count >= 0 for count in counts):
        raise Invalid("A mask's run lengths are not whole numbers from 0 on, or too many.")
    if sum(counts) != height * width:
        raise Invalid(f"A mask's run lengths make {sum(counts)} pixels; {height} × {width} are {height * width}.")
    set_ = np.arange(len(counts)) % 2 == 1
    return np.repeat(set_, np.array(counts, np.int64)).reshape(width, height).T


def text_of(counts: Sequence[int]) -> str:
    """Each number less the one two before it, five bits a letter, from "0" on."""
    letters = []
    for place, count in enumerate(counts):
        left = count - counts[place - 2] if place > 2 else count
        while True:
            bits, left = left & 31, left >> 5
            more = left != (-1 if bits & 16 else 0)
            letters.append(chr(48 + bits + (32 if more else 0)))
            if not more:
                break
    return "".join(letters)


def counts_in(text: str, most: int) -> list[int]:
    """What `text_of` wrote; no more numbers than this."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift >= 5 * LONGEST or len(counts) > most:
            raise Invalid("A mask's compact text is not what COCO writes.")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise Invalid("A mask's compact text ends in the middle of a number.")
    return counts
