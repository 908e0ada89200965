"""Whatever the OpenAPI document allows, and much that it does not, is answered: a result, or a Problem in words.

schemathesis makes the requests from the document itself, so that a new verb is asked without a line here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode

from mlex_jupyter import lease
from mlex_jupyter.server.openapi import document
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Problem
from tests.conftest import mlex_command
from tests.servers import Server, end_processes_of

FEW, MANY = 12, 1500
"""Examples for each operation: in every run of the tests, and in `make soak`."""

schema = schemathesis.openapi.from_dict(document())
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


def steady(count: int) -> Callable[..., hypothesis.settings]:
    """The same examples in every run."""
    return settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=HealthCheck
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, described: Path) -> Iterator[Server]:
    """A server over a home whose jobs wait for ever: nobody knows what commands will be made up."""
    home = tmp_path_factory.mktemp("asked")
    shutil.copytree(described, home / "cache")
    lock = lease.take(Settings.load(home=home))
    assert lock is not None
    mlex_command("sample", "--size=32", "--slices=4", home=home)
    server = Server(home, home / "work", app="server", MLEX_USER="tester", MLEX_LOCAL_CPUS="4", MLEX_LOCAL_GPUS="0")
    server.start()
    yield server
    server.stop()
    os.close(lock)
    end_processes_of(home)


def check(case: schemathesis.Case, served: Server) -> None:
    """No answer is an accident."""
    answer = case.call(base_url=served.api, headers=served.headers, timeout=60)
    asked = f"{case.method} {answer.request.url}\n{answer.request.body!r}"[:2000]
    assert answer.status_code < 500, f"{answer.status_code} {answer.text[:400]}\nto {asked}"
    if answer.status_code >= 400:
        said = Problem.model_validate_json(answer.content)
        assert said.message, asked
        assert "Traceback" not in answer.text, asked


@schema.parametrize()
@steady(FEW)
def test_no_request_is_an_accident(case: schemathesis.Case, served: Server) -> None:
    check(case, served)


@pytest.mark.soak
@schema.parametrize()
@steady(MANY)
def test_not_one_of_very_many_requests_is_an_accident(case: schemathesis.Case, served: Server) -> None:
    check(case, served)


def test_afterwards_the_server_answers_and_its_log_has_no_traceback(served: Server) -> None:
    with served.client() as http:
        assert http.get("/hello").status_code == 200
        assert http.get("/datasets").status_code == 200
    assert "Traceback" not in served.log.read_text()
