"""Axes: which letter each dimension of a volume has, and which it may have.

z, y, x are space, c is channels. t is known only to be left out (length 1) or read as the slices of a stack.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlex_jupyter.errors import Invalid

BY_NDIM = {2: "yx", 3: "zyx", 4: "zcyx"}
LETTERS = {"z": "slices", "c": "channels", "y": "rows", "x": "columns"}


def check_axes(axes: str, shape: Sequence[int]) -> str:
    """These axes if they can be meant for this shape; else an error that says what would be right."""
    right = BY_NDIM.get(len(shape))
    hint = f"For the shape {tuple(shape)} say for example axes={right}." if right else "Say axes such as zyx or zcyx."
    if unknown := sorted(set(axes) - set(LETTERS)):
        names = ", ".join(f"{letter} ({meaning})" for letter, meaning in LETTERS.items())
        raise Invalid(f"The axes {axes!r} have unknown letters: {', '.join(unknown)}. Known are {names}.", hint=hint)
    if len(set(axes)) < len(axes):
        raise Invalid(f"The axes {axes!r} name an axis twice.", hint=hint)
    if not {"y", "x"} <= set(axes):
        raise Invalid(f"The axes {axes!r} lack y or x.", hint=hint)
    if len(axes) != len(shape):
        raise Invalid(
            f"The axes {axes!r} are {len(axes)}, but the array has {len(shape)} dimensions: {tuple(shape)}.", hint=hint
        )
    return axes


def choose_axes(shape: Sequence[int], *, said: str | None, wanted: str | None) -> str:
    """The axes of a volume: those that a person wants, else those that the file says, else by the dimensions.

    Leading dimensions of length 1 may have no letter: `zyx` fits a (1, 1, 64, 256, 256) array.
    """
    if wanted is not None:
        return check_axes(wanted, shape[leading_ones(shape, wanted) :])
    if said is None:
        if len(shape) not in BY_NDIM:
            raise Invalid(
                f"The array has {len(shape)} dimensions, {tuple(shape)}; a volume has two to four.",
                hint="A leading dimension of length 1 is left out when you say the axes of the others, as in axes=zyx.",
            )
        return BY_NDIM[len(shape)]
    axes = said.lower()
    while len(axes) > 2 and axes[0] in "tc" and shape[len(said) - len(axes)] == 1:
        axes = axes[1:]
    if "t" in axes and "z" not in axes:
        axes = axes.replace("t", "z")  # pictures in a row are a stack to every tool here
    return check_axes(axes, shape[len(said) - len(axes) :])


def leading_ones(shape: Sequence[int], axes: str) -> int:
    """How many leading dimensions of length 1 have no letter."""
    extra = max(0, len(shape) - len(axes))
    return extra if all(length == 1 for length in shape[:extra]) else 0
