"""From a request to a verb: arguments are checked against the table, and every error is a Problem."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from tornado.web import HTTPError

from mlex_jupyter.errors import Conflict, MlexError
from mlex_jupyter.server.http import Answer, Router, as_answer, refusal
from mlex_jupyter.server.service import Service
from mlex_jupyter.types import JobState, Problem, Record, Resources
from mlex_jupyter.verbs import verb


class Given(Record):
    """What a verb was called with."""

    arguments: dict[str, Any]


class Facade:
    """A small table of verbs that say what they were called with."""

    @verb("GET", "/things")
    async def things(
        self, *, query: str = "*", limit: int = 5, state: JobState | None = None, tags: tuple[str, ...] = ()
    ) -> Given:
        """List things."""
        return Given(arguments={"query": query, "limit": limit, "state": state, "tags": list(tags)})

    @verb("GET", "/things/{name}")
    async def thing(self, name: str) -> Given:
        """Show one."""
        return Given(arguments={"name": name})

    @verb("POST", "/things/{name}/paint")
    async def paint(self, name: str, color: str, *, layers: int = 1) -> Given:
        """Paint one."""
        return Given(arguments={"name": name, "color": color, "layers": layers})

    @verb("POST", "/things", status=201, body="resources")
    async def make(self, resources: Resources) -> Resources:
        """Make one."""
        return resources

    @verb("POST", "/things/break")
    async def breaks(self, how: str = "badly") -> None:
        """Break."""
        if how == "in words":
            raise Conflict("It is broken already.", hint="Mend it first.")
        raise ZeroDivisionError(how)

    @verb()
    async def only_in_a_shell(self) -> None:
        """Not over HTTP."""


class Asked:
    """A router that answers with status and JSON."""

    def __init__(self) -> None:
        self.service = Service.__new__(Service)
        self.service.mlex = Facade()  # type: ignore[assignment]
        self.service.router = Router(Facade())  # type: ignore[arg-type]

    async def __call__(
        self, method: str, path: str, query: Mapping[str, Sequence[str]] | None = None, body: Any = b""
    ) -> tuple[int, Any]:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.service.answer(method, path, query or {}, sent)
        return answer.status, json.loads(answer.body)


@pytest.fixture
async def ask() -> AsyncIterator[Asked]:
    return Asked()


async def test_a_query_becomes_typed_arguments(ask: Asked) -> None:
    status, said = await ask("GET", "things", {"limit": ["7"], "state": ["done"], "tags": ["a", "b"]})
    assert status == 200
    assert said["arguments"] == {"query": "*", "limit": 7, "state": "done", "tags": ["a", "b"]}


async def test_of_one_argument_said_twice_the_last_holds(ask: Asked) -> None:
    assert (await ask("GET", "things", {"limit": ["7", "8"]}))[1]["arguments"]["limit"] == 8


async def test_slashes_at_the_ends_do_not_matter(ask: Asked) -> None:
    for path in ("things", "/things", "things/", "/things/"):
        assert (await ask("GET", path))[0] == 200


@pytest.mark.parametrize(
    ("sent", "name"), [("a%20b", "a b"), ("%2e%2e%2fx", "../x"), ("%2541", "%41"), ("%C3%BC", "ü"), ("a+b", "a+b")]
)
async def test_a_name_in_the_path_is_decoded_once(ask: Asked, sent: str, name: str) -> None:
    assert (await ask("GET", f"things/{sent}"))[1]["arguments"]["name"] == name


async def test_a_body_becomes_arguments_or_the_one_argument(ask: Asked) -> None:
    assert (await ask("POST", "things/x/paint", body={"color": "red"}))[1]["arguments"] == {
        "name": "x",
        "color": "red",
        "layers": 1,
    }
    status, made = await ask("POST", "things", body={"cpus": 2})
    assert (status, made["cpus"], made["gpus"]) == (201, 2, None)


async def test_the_path_wins_over_the_body(ask: Asked) -> None:
    answer = await ask("POST", "things/x/paint", body={"name": "y", "color": "red"})
    assert answer[1]["arguments"]["name"] == "x"


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "words"),
    [
        ("GET", "things", {"limt": ["1"]}, b"", "takes no argument 'limt'"),
        ("GET", "things", {"limit": ["many"]}, b"", "limit = 'many' will not do"),
        ("GET", "things", {"state": ["finished"]}, b"", "state = 'finished' will not do"),
        ("POST", "things/x/paint", {}, b"{}", "paint needs color"),
        ("POST", "things/x/paint", {}, b"", "paint needs color"),
        ("POST", "things/x/paint", {}, b'{"color": 1}', "color = 1 will not do"),
        ("POST", "things/x/paint", {}, b'{"color": "red", "colour": "red"}', "takes no argument 'colour'"),
        ("POST", "things/x/paint", {}, b"[]", "must be a JSON object"),
        ("POST", "things/x/paint", {}, b"nonsense", "not JSON"),
        ("POST", "things/x/paint", {}, b"[" * 100_000, "not JSON"),
        ("POST", "things", {}, b"", None),
        ("POST", "things", {}, b'{"cpus": 0}', "cpus = 0 will not do"),
        ("POST", "things", {}, b'{"cpus": {"a": [1]}}', "cpus = "),
        ("POST", "things", {}, b'{"memory": 4}', "has no argument 'memory'"),
        ("POST", "things", {}, b"17", "17"),
    ],
)
async def test_what_cannot_be_meant_is_invalid_in_words(
    ask: Asked, method: str, path: str, query: dict[str, list[str]], body: bytes, words: str | None
) -> None:
    status, said = await ask(method, path, query, body)
    if words is None:
        assert status == 201, "an empty body is an empty object"
        return
    assert status == 400, said
    problem = Problem.model_validate(said)
    assert words in problem.message
    assert len(problem.message) < 400


async def test_the_nearest_argument_is_named(ask: Asked) -> None:
    assert "limit" in (await ask("GET", "things", {"limt": ["1"]}))[1]["hint"]
    assert "color, layers" in (await ask("POST", "things/x/paint", body={"zzz": 1}))[1]["hint"]


async def test_a_path_that_is_none_is_not_found_and_a_wrong_method_not_allowed(ask: Asked) -> None:
    assert (await ask("GET", "nothing"))[0] == 404
    assert (await ask("GET", "things/x/y/z"))[0] == 404
    assert (await ask("GET", "only_in_a_shell"))[0] == 404
    status, said = await ask("GET", "things/x/paint")
    assert (status, said["code"]) == (405, "method_not_allowed")


async def test_a_fixed_path_comes_before_one_with_a_name_in_it(ask: Asked) -> None:
    status, said = await ask("POST", "things/break", body={"how": "in words"})
    assert (status, said["message"], said["hint"]) == (409, "It is broken already.", "Mend it first.")


async def test_a_fault_of_ours_is_a_problem_without_its_traceback(ask: Asked, caplog: pytest.LogCaptureFixture) -> None:
    status, said = await ask("POST", "things/break", body={"how": "a secret"})
    assert status == 500
    assert "secret" not in json.dumps(said)
    assert "mlex doctor" in said["hint"]
    assert "ZeroDivisionError: a secret" in caplog.text


def test_an_error_keeps_its_status_and_its_words() -> None:
    answer = as_answer(Conflict("No.", hint="Yes."))
    assert answer == Answer(409, b'{"code":"conflict","message":"No.","hint":"Yes.","transient":false,"details":null}')


@pytest.mark.parametrize(
    ("status", "error", "code", "message"),
    [
        (403, HTTPError(403), "forbidden", "Forbidden."),
        (400, HTTPError(400, "Invalid unicode in %s", "path"), "invalid", "Invalid unicode in path."),
        (400, HTTPError(400, "100% wrong"), "invalid", "100% wrong."),
        (405, HTTPError(405), "method_not_allowed", "Method Not Allowed."),
        (500, ZeroDivisionError("a secret"), "error", "Internal Server Error."),
        (404, None, "not_found", "Not Found."),
        (599, None, "error", "It failed."),
    ],
)
def test_what_is_refused_before_a_verb_is_reached_is_a_problem_too(
    status: int, error: Exception | None, code: str, message: str
) -> None:
    answer = refusal(status, error)
    problem = Problem.model_validate_json(answer.body)
    assert (answer.status, problem.code, problem.message) == (status, code, message)


def test_an_error_of_ours_is_told_as_such_wherever_it_arises() -> None:
    answer = refusal(500, MlexError("It failed at this.", hint="Try."))
    assert (answer.status, Problem.model_validate_json(answer.body).hint) == (500, "Try.")
