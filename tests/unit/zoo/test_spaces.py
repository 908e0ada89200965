"""What a tuning may vary: said in words, or suggested by the form, and always within what the form allows."""

from __future__ import annotations

from typing import Any

import pytest

from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import Architecture, ArrayContract, Varied
from mlex_jupyter.zoo.spaces import combinations, space_of

FORM = {
    "depth": {"type": "integer", "minimum": 2, "maximum": 6, "default": 4, "x-group": "network"},
    "width": {"type": "integer", "minimum": 4, "maximum": 128, "default": 16, "x-group": "network"},
    "growth": {"type": "number", "minimum": 1, "maximum": 3, "default": 2.0, "x-group": "network"},
    "of": {"type": "string", "default": "unet", "x-group": "network"},
    "size": {"enum": ["fast", "best"], "type": "string", "default": "fast", "x-group": "network"},
    "patch": {"type": "integer", "minimum": 16, "maximum": 4096, "default": 128, "x-group": "training"},
    "learning_rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.003, "x-group": "training"},
    "augment": {"type": "boolean", "default": True, "x-group": "training"},
}
PRESETS: dict[str, Any] = {"fast": {"depth": 3, "width": 8}, "best": {"depth": 5, "width": 64}}
NET = Architecture(
    name="net",
    title="Net",
    params_schema={"type": "object", "properties": FORM, "additionalProperties": False},
    inputs=ArrayContract(axes="cyx"),
    outputs=ArrayContract(axes="cyx"),
    presets=PRESETS,
    builder="net:net",
    distribution="",
    version="1",
)


def space(**vary: str) -> tuple[Varied, ...]:
    return space_of(NET, vary, {})


def test_ranges_steps_orders_of_magnitude_and_choices_are_said_in_a_word() -> None:
    depth, rate, patch, size, augment = space(
        depth="2:5", learning_rate="1e-4:1e-2:log", patch="64:256:64", size="fast,best", augment="true,false"
    )
    assert (depth.kind, depth.low, depth.high) == ("int", 2, 5)
    assert (rate.kind, rate.low, rate.high, rate.log) == ("float", 1e-4, 1e-2, True)
    assert patch.step == 64 and size.choices == ("fast", "best") and augment.choices == (True, False)
    assert combinations((depth, patch, size)) == 4 * 4 * 2 and combinations((depth, rate)) is None


def test_without_a_word_it_varies_what_the_presets_do_what_there_is_to_choose_and_the_rate() -> None:
    found = {one.name: one for one in space_of(NET, {}, {"size": "best"})}
    assert list(found) == ["depth", "width", "learning_rate"], "and leaves alone what somebody has fixed"
    assert (found["depth"].low, found["depth"].high, found["depth"].log) == (3, 5, False)
    assert (found["width"].low, found["width"].high, found["width"].log) == (8, 64, True)
    rate = found["learning_rate"]
    assert rate.log and rate.low == pytest.approx(0.0003) and rate.high == pytest.approx(0.03)


def test_auto_is_all_that_is_allowed_where_that_is_narrow_else_around_the_default() -> None:
    growth, patch, size = space(growth="auto", patch="auto", size="auto")
    assert (growth.low, growth.high) == (1, 3) and (patch.low, patch.high, patch.log) == (64, 256, True)
    assert size.choices == ("fast", "best")


@pytest.mark.parametrize(
    ("vary", "says"),
    [
        ({"deep": "2:3"}, "no parameter 'deep'"),
        ({"depth": "2:9"}, "cannot be varied so.*depth = 9"),
        ({"depth": "5:2"}, "holds nothing to vary"),
        ({"depth": "2.5:4"}, "whole numbers"),
        ({"depth": "3"}, "varies nothing"),
        ({"depth": "a:b"}, "is no range"),
        ({"depth": "2:5:log:1"}, "is no range"),
        ({"learning_rate": "0:1:log"}, "has no logarithm"),
        ({"learning_rate": "0:inf"}, "is no range"),
        ({"size": "fast,huge"}, "size = 'huge' will not do"),
        ({"size": "fast,fast"}, "is no choice"),
        ({"of": "auto"}, "has to be said"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(vary: dict[str, str], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        space(**vary)


def test_what_is_fixed_is_not_varied_as_well() -> None:
    with pytest.raises(Invalid, match="both fixed and varied"):
        space_of(NET, {"depth": "2:5"}, {"depth": 3})


def test_a_network_that_begins_with_weights_keeps_its_form() -> None:
    assert [one.name for one in space_of(NET, {}, {}, learned=True)] == ["learning_rate"]
    with pytest.raises(Invalid, match="depth cannot be varied: a network that begins with weights keeps its form"):
        space_of(NET, {"depth": "2:5"}, {}, learned=True)
