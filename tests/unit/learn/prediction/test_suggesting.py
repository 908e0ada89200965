"""What to label next: where a prediction is not sure, and not all at one place."""

from __future__ import annotations

from mlex_jupyter.learn.prediction.suggesting import suggested
from mlex_jupyter.types import SliceFound


def slices(*uncertainties: float) -> list[SliceFound]:
    return [SliceFound(z=z, uncertainty=share) for z, share in enumerate(uncertainties)]


def zs(found: list[SliceFound]) -> list[int]:
    return [one.z for one in found]


def test_the_least_sure_come_first_and_are_no_neighbours() -> None:
    hill = slices(*(1 - abs(z - 20) / 40 for z in range(40)))
    found = zs(suggested(hill, (), 4))
    assert found[0] == 20
    assert len(found) == 4
    assert min(b - a for a, b in zip(sorted(found), sorted(found)[1:], strict=False)) >= 5, "spread over the volume"


def test_what_is_labelled_and_beside_it_is_left_out() -> None:
    flat = slices(*[0.5] * 9)
    assert zs(suggested(flat, {0, 4, 8}, 9)) == [2, 6]
    assert suggested(flat, range(9), 3) == []
    assert suggested([], (), 3) == []


def test_more_are_found_closer_together_when_many_are_asked_for() -> None:
    assert zs(suggested(slices(*[0.1] * 7), (), 4)) == [0, 2, 4, 6]
    assert zs(suggested(slices(0.9), (), 5)) == [0], "one slice is one slice"
