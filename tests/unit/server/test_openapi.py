"""The OpenAPI document says what the routes do: generated from the table, the same each time, and true."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.server.http import Router
from mlex_jupyter.server.openapi import document
from mlex_jupyter.settings import Settings
from mlex_jupyter.verbs import table
from tests.engine import spec

ROUTES = [verb for verb in table(Mlex).values() if verb.route]


@pytest.fixture(scope="module")
def says() -> dict[str, Any]:
    return document()


def schemas_of(says: dict[str, Any], found: object) -> list[str]:
    return re.findall(r"#/components/schemas/(\w+)", json.dumps(found))


def test_it_is_the_same_each_time(says: dict[str, Any]) -> None:
    assert json.dumps(document()) == json.dumps(says)


def test_every_route_is_an_operation_with_its_words(says: dict[str, Any]) -> None:
    for verb in ROUTES:
        assert verb.route is not None
        operation = says["paths"][verb.route.path][verb.route.method.lower()]
        assert (operation["operationId"], operation["summary"]) == (verb.name, verb.help)
        assert operation["summary"].endswith(".")
        assert set(operation["responses"]) == {str(verb.route.status), "default"}


def test_the_same_arguments_are_required_there_as_here(says: dict[str, Any]) -> None:
    for verb in ROUTES:
        assert verb.route is not None
        operation = says["paths"][verb.route.path][verb.route.method.lower()]
        required = {found["name"] for found in operation["parameters"] if found["required"]}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        required |= {verb.route.body} if verb.route.body else set(body.get("required", []))
        assert required == {parameter.name for parameter in verb.parameters if parameter.required}, verb.name


def test_every_name_in_a_path_is_an_argument(says: dict[str, Any]) -> None:
    for path, operations in says["paths"].items():
        for operation in operations.values():
            in_path = {found["name"] for found in operation["parameters"] if found["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))


def test_every_schema_that_is_referred_to_is_there(says: dict[str, Any]) -> None:
    assert set(schemas_of(says, says)) <= set(says["components"]["schemas"])


def test_operations_have_names_of_their_own(says: dict[str, Any]) -> None:
    names = [operation["operationId"] for operations in says["paths"].values() for operation in operations.values()]
    assert len(names) == len(set(names))


async def test_what_comes_back_is_what_was_promised(says: dict[str, Any], settings: Settings) -> None:
    mlex = Mlex(settings)
    await mlex.job_list.submit(spec("/bin/true", name="first"), "tester")
    router = Router(mlex)
    for path in (
        "/jobs",
        "/jobs/{run}",
        "/jobs/{run}/why",
        "/jobs/{run}/log",
        "/events",
        "/targets",
        "/hello",
        "/datasets",
    ):
        answer = await router.answer("GET", path.format(run="first"), {}, b"")
        promised = says["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        schema = {**promised, "components": says["components"]}
        jsonschema.Draft202012Validator(schema).validate(json.loads(answer.body))
    mlex.close()


def test_what_is_sent_may_leave_out_what_has_a_default(says: dict[str, Any]) -> None:
    schema = says["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator({**schema, "components": says["components"]})
    validator.validate({"task": {"kind": "run", "argv": ["true"]}})
    for wrong in (
        {},
        {"task": {"kind": "run", "argv": "true"}},
        {"task": {"kind": "rum", "argv": ["true"]}},
        {"tusk": 1},
    ):
        assert list(validator.iter_errors(wrong)), wrong
