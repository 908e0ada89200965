"""MLExchange's model entries become forms that are checked, listed and shown; nothing in them is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.faces.present import record_html, text
from mlex_jupyter.types import NAME
from mlex_jupyter.zoo.exchange.mlexchange import entry

FOREST: dict[str, Any] = {
    "_id": "1", "content_id": "2", "content_type": "model", "model_name": "random forest", "version": "0.0.1",
    "type": "supervised", "user": "mlexchange team", "uri": "registry/random-forest:1.1",
    "application": ["image segmentation"], "reference": "Breiman 2001", "description": "Trees.",
    "cmd": ["python random_forest.py", "python segment.py"],
    "gui_parameters": [
        {"type": "int", "name": "num-tree", "title": "Number of Trees", "param_key": "n_estimators", "value": "30"},
        {"type": "float", "name": "rate", "title": "Rate", "param_key": "rate", "value": 0.1, "min": 0, "max": 1},
        {"type": "slider", "name": "depth", "title": "Depth", "param_key": "max_depth", "min": 1, "max": 20, "step": 1,
         "value": 8, "marks": {"1": "1"}, "comp_group": "train_model"},
        {"type": "slider", "name": "share", "param_key": "share", "min": 0, "max": 1, "value": 0.25},
        {"type": "dropdown", "name": "opt", "title": "Optimizer", "param_key": "optimizer", "value": "Adam",
         "options": [{"label": "Adam", "value": "Adam"}, {"label": "SGD", "value": "SGD"}]},
        {"type": "radio", "name": "mode", "param_key": "mode", "options": ["a", "b"], "value": "b"},
        {"type": "bool", "name": "flag", "param_key": "flag", "value": "False"},
        {"type": "str", "name": "weights", "param_key": "weights", "value": "[1.0, 1.0]", "debounce": True},
        {"type": "img", "name": "logo", "src": "logo.png"},
    ],
}  # fmt: skip


def with_parameter(**about: Any) -> dict[str, Any]:
    return FOREST | {"gui_parameters": [about]}


def test_every_component_becomes_a_field_of_a_form_that_its_values_keep() -> None:
    found = entry(FOREST)
    fields: Any = found.params_schema["properties"]
    assert {name: about.get("type", "enum") for name, about in fields.items()} == {
        "n_estimators": "integer", "rate": "number", "max_depth": "integer", "share": "number", "optimizer": "enum",
        "mode": "enum", "flag": "boolean", "weights": "string",
    }  # fmt: skip
    defaults = {name: about["default"] for name, about in fields.items()}
    assert defaults["n_estimators"] == 30 and defaults["flag"] is False and defaults["optimizer"] == "Adam"
    valid = fastjsonschema.compile({**found.params_schema})
    valid(defaults)
    for wrong in ({"max_depth": 21}, {"optimizer": "Lion"}, {"rate": "high"}, {"unknown": 1}):
        with pytest.raises(fastjsonschema.JsonSchemaException):
            valid(defaults | wrong)
    assert (fields["max_depth"]["x-group"], fields["max_depth"]["x-name"]) == ("train_model", "depth")
    assert set(found.left_aside) == {"marks", "debounce", "img"}
    assert NAME.fullmatch(found.name)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (with_parameter(type="upload", name="x", param_key="x"), "type 'upload'"),
        (with_parameter(type="int", name="x", param_key="x", value="many"), "x (int)"),
        (with_parameter(type="int", name="x", param_key="x", value=2.5), "x (int)"),
        (with_parameter(type="int", param_key="x", value=9, max=5), "value of x, 9"),
        (with_parameter(type="slider", param_key="x", value=1), "x (slider)"),
        (with_parameter(type="dropdown", param_key="x"), "x (dropdown)"),
        (with_parameter(type="dropdown", param_key="x", options=["a"], value="b"), "value of x"),
        (with_parameter(type="float", param_key="x", value=1e999), "x (float)"),
        (with_parameter(type="int", title="no key"), "no param_key"),
        (FOREST | {"gui_parameters": [{"type": "str", "param_key": "a"}] * 2}, "two parameters are called a"),
        (FOREST | {"gui_parameters": ["a"]}, "is no parameter"),
        (FOREST | {"gui_parameters": [{}] * 301}, "301 parameters"),
        (FOREST | {"model_name": "../x"}, "name"),
        ({"gui_parameters": {}}, "no entry of MLExchange"),
        ([], "no entry of MLExchange"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_name(bad: Any, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        entry(bad)
    assert words in refused.value.message, refused.value.message


async def test_entries_are_kept_listed_shown_and_replaced(mlex: Mlex, tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text(json.dumps([FOREST, FOREST | {"model_name": "kmeans", "gui_parameters": []}]))
    await mlex.import_mlexchange(str(file))
    file.write_text(json.dumps(FOREST | {"description": "Many trees."}))
    await mlex.import_mlexchange(str(file))
    assert sorted(one.name for one in await mlex.entries()) == ["kmeans", "random-forest"]
    found = await mlex.entry("random-forest")
    assert found.description == "Many trees."
    shown = text(found, 120)
    assert "n_estimators" in shown and "python segment.py" in shown
    assert "n_estimators" in record_html(found)
    with pytest.raises(NotFound) as caught:
        await mlex.entry("random-forst")
    assert "random-forest" in (caught.value.hint or "")


@pytest.mark.parametrize("content", ["", "{", "[]", "[NaN]", '"a"', "[" * 50_000, json.dumps([FOREST, {"a": 1}])])
async def test_a_file_is_taken_whole_or_not_at_all(mlex: Mlex, tmp_path: Path, content: str) -> None:
    (tmp_path / "models.json").write_text(content)
    with pytest.raises(Invalid):
        await mlex.import_mlexchange(str(tmp_path / "models.json"))
    assert await mlex.entries() == []
