"""Describing architectures: from the builder's signature, in a process of its own, and never stopped by a plugin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
from pydantic import Field

from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.describe import params_schema
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.types import Architecture

PLUGINS = """
from mlex_jupyter.learn.models import architecture
print("a plugin that prints while it is loaded")

@architecture(title="Mine", divisible_by="4")
def mine(*, channels: int, classes: int, width: int = 3): ...

@architecture(title="No types")
def untyped(*, channels: int, classes: int, width=(3, 4)): ...

@architecture(title="Taken")
def taken(*, channels: int, classes: int, epochs: int = 3): ...

def plain(*, channels: int, classes: int): ...

@architecture(title="Preset", presets={"fast": {"height": 3}})
def preset(*, channels: int, classes: int, width: int = 3): ...
"""
POINTS = """
[mlex.models]
mine = strange:mine
untyped = strange:untyped
taken = strange:taken
plain = strange:plain
preset = strange:preset
missing = strange:missing
leaves = leaves:anything
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with architectures, good and bad, as pip would install it."""
    (tmp_path / "strange.py").write_text(PLUGINS)
    (tmp_path / "leaves.py").write_text("raise SystemExit('I leave')")
    info = tmp_path / "strange-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def described(*names: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "mlex_jupyter.learn.describe", *names]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    answer: list[dict[str, Any]] = json.loads(said.stdout)
    return answer


def test_the_built_in_architectures_have_forms_that_say_all(plugins: None) -> None:
    names = ["tunet", "unet", "tunet3plus", "msdnet", "smsnet", "ensemble", "unet25d", "forest", "unet3d", "tunet3d"]
    answers = described(*names)
    assert [one["name"] for one in answers] == names
    for answer in answers:
        architecture = Architecture.model_validate(answer)
        rules = {"msdnet": "1", "smsnet": "1", "ensemble": "32", "forest": "1"}
        assert architecture.inputs.divisible_by == rules.get(architecture.name, "2**(depth-1)")
        assert architecture.description and list(architecture.presets) == ["fast", "balanced", "best"]
        for preset in architecture.presets.values():
            jsonschema.validate(preset, architecture.params_schema)
        assert (architecture.distribution, bool(architecture.version)) == ("mlex-jupyter", True)
        schema: Any = architecture.params_schema
        jsonschema.Draft202012Validator.check_schema(schema)
        properties = schema["properties"]
        assert not {"channels", "classes"} & properties.keys()
        assert all({"title", "description", "default", "type"} <= about.keys() for about in properties.values())
        training = [name for name, about in properties.items() if about["x-group"] == "training"]
        at_once = architecture.name == "forest"
        assert training == (["validation", "seed"] if at_once else list(TrainParams.model_fields))
        first = next(iter(properties))
        assert properties[first]["x-group"] == "network"
        if "depth" in properties:
            assert (properties["depth"]["minimum"], properties["depth"]["maximum"]) == (2, 6)
        for wrong in ({"seed": -1}, {first: 1.5}, {"unknown": 1}, {"seed": "many"}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(wrong, schema)


def test_broken_plugins_are_said_to_be_and_keep_nobody_else_from_being_described(plugins: None) -> None:
    names = ["nope", "leaves", "untyped", "mine", "taken", "plain", "preset", "missing"]
    answers = dict(zip(names, described(*names), strict=True))
    assert answers["mine"]["title"] == "Mine"
    assert (answers["mine"]["distribution"], answers["mine"]["version"]) == ("strange", "1.2")
    assert answers["mine"]["inputs"]["divisible_by"] == "4"
    assert answers["nope"] == {"name": "nope", "error": "No architecture 'nope' is installed."}
    assert answers["untyped"]["error"] == "Its parameter width has no type or no default."
    assert answers["taken"]["error"] == "Its parameter epochs has the name of a training parameter."
    assert answers["plain"]["error"] == "plain has no contract."
    assert answers["preset"]["error"] == "Its preset fast sets height, which it does not have."
    assert "I leave" in answers["leaves"]["error"]
    assert "AttributeError" in answers["missing"]["error"]


def test_a_builder_without_classes_or_with_nameless_parameters_is_refused() -> None:
    def without(*, channels: int, width: int = 1) -> None: ...

    def nameless(*, channels: int, classes: int, **more: int) -> None: ...

    def bounded(*, channels: int, classes: int, width: Annotated[int, Field(ge=1)] = 2) -> None: ...

    with pytest.raises(Invalid, match="takes no classes"):
        params_schema(without)
    with pytest.raises(Invalid, match="only parameters with a name"):
        params_schema(nameless)
    properties: Any = params_schema(bounded)["properties"]
    assert properties["width"]["minimum"] == 1

    def plainly(channels, classes, width=2, growth=1.5): ...  # type: ignore[no-untyped-def]

    properties = params_schema(plainly)["properties"]
    assert (properties["width"]["type"], properties["growth"]["type"]) == ("integer", "number"), "as the defaults are"
