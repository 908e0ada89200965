"""Plain HTTP to another server: addresses, retries, refusals as errors, and where the token goes."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from mlex_jupyter import client as module
from mlex_jupyter.client import Address, Client
from mlex_jupyter.errors import Conflict, Forbidden, Invalid, MlexError, NotFound, Stale, Unavailable
from mlex_jupyter.faces.arguments import Usage
from mlex_jupyter.types import Problem


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITS_S", (0.0, 0.0, 0.0))


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("text", "url", "token"),
    [
        ("http://127.0.0.1:8888", "http://127.0.0.1:8888/", None),
        ("http://127.0.0.1:8888/?token=abc", "http://127.0.0.1:8888/", "abc"),
        ("http://127.0.0.1:8888/lab/tree/a%20b.ipynb?token=abc#x", "http://127.0.0.1:8888/", "abc"),
        ("http://127.0.0.1:8888/mlex/api/v1/docs?token=abc", "http://127.0.0.1:8888/", "abc"),
        ("https://hub.org/user/me/lab/workspaces/auto-1", "https://hub.org/user/me/", None),
        ("https://hub.org/user/lab/lab", "https://hub.org/user/lab/", None),
        ("https://hub.org/user/me/gpu/tree", "https://hub.org/user/me/gpu/", None),
        ("https://hub.org/jupyter/user/me@x.org/", "https://hub.org/jupyter/user/me@x.org/", None),
        ("https://hub.org/services/mlex", "https://hub.org/services/mlex/", None),
        ("  https://[::1]:1/  ", "https://[::1]:1/", None),
    ],
)
def test_an_address_is_taken_as_a_browser_shows_it(text: str, url: str, token: str | None) -> None:
    assert Address.of(text) == Address(url, token)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hub.org",
        "file:///etc/passwd",
        "http://",
        "http://[",
        "http://a:b",
        "http://a:99999",
        "http://me:pw@hub.org/",
    ],
)
def test_what_is_no_address_is_refused_in_words(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        Address.of(text + "?token=secret" if text else text)
    assert "pw" not in caught.value.message
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_who_sends_a_token_over_an_open_line_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for url in ("http://127.0.0.1:1", "http://localhost:1", "https://hub.org"):
            Client(url, "secret")
        Client("http://hub.org")
        assert not caplog.messages
        Client("http://hub.org/?token=secret")
    (said,) = caplog.messages
    assert "not encrypted" in said
    assert "secret" not in said


def test_a_token_with_a_line_break_is_none() -> None:
    with pytest.raises(Invalid) as caught:
        Client("http://127.0.0.1:1", "a\r\nHost: elsewhere")
    assert "elsewhere" not in str(caught.value)


# ---------------------------------------------------------------- what is sent, and how often


Answers = Callable[[httpx.Request], httpx.Response]


class There(httpx.AsyncBaseTransport):
    """A server that answers one thing after another; the last for ever."""

    def __init__(self, *answers: httpx.Response | type[httpx.TransportError]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.Response):
            return answer
        raise answer("it broke")


def asked(there: There, method: str = "GET", *, again: bool = False) -> bytes:
    async def ask() -> bytes:
        client = Client("https://hub.org/user/me/", "secret", transport=there)
        try:
            return await client.ask(method, "/jobs", body={} if method == "POST" else None, again=again)
        finally:
            await client.close()

    return asyncio.run(ask())


OK = httpx.Response(200, content=b"[]")
BUSY = httpx.Response(503, content=b"<html>restarting</html>")


@pytest.mark.parametrize("failure", [BUSY, httpx.Response(502), httpx.ReadError, httpx.ReadTimeout, httpx.ConnectError])
def test_what_only_reads_is_asked_again(failure: httpx.Response | type[httpx.TransportError]) -> None:
    there = There(failure, failure, OK)
    assert asked(there) == b"[]"
    assert len(there.requests) == 3


@pytest.mark.parametrize("failure", [BUSY, httpx.ReadError, httpx.ReadTimeout, httpx.WriteError])
def test_what_may_have_been_done_is_asked_once(failure: httpx.Response | type[httpx.TransportError]) -> None:
    there = There(failure, OK)
    with pytest.raises(Unavailable):
        asked(there, "POST")
    assert len(there.requests) == 1


def test_what_never_got_through_or_has_a_key_is_asked_again() -> None:
    assert asked(There(httpx.ConnectError, httpx.ConnectTimeout, OK), "POST") == b"[]"
    assert asked(There(httpx.ReadError, BUSY, OK), "POST", again=True) == b"[]"


def test_it_gives_up_in_the_end_and_says_why() -> None:
    there = There(httpx.ConnectError)
    with pytest.raises(Unavailable, match="cannot be reached: it broke") as caught:
        asked(there)
    assert len(there.requests) == 4
    assert "secret" not in f"{caught.value} {caught.value.hint}"


# ---------------------------------------------------------------- refusals


def test_a_problem_is_the_error_that_it_was_there() -> None:
    for kind in (NotFound, Invalid, Conflict, Unavailable):
        said = Problem.of(kind("These words.", hint="That hint."))
        there = There(httpx.Response(kind.status, content=said.model_dump_json().encode()))
        with pytest.raises(kind) as caught:
            asked(there)
        assert type(caught.value) is kind is not Usage
        assert Problem.of(caught.value) == said
        assert len(there.requests) == 1, "the server has spoken"


def test_what_a_problem_says_in_detail_is_kept() -> None:
    said = Problem.of(Stale("Somebody was quicker.", details={"version": 4}))
    with pytest.raises(Conflict) as caught:
        asked(There(httpx.Response(409, content=said.model_dump_json().encode())))
    assert Problem.of(caught.value) == said


def test_a_problem_that_is_not_known_here_keeps_its_words_and_its_status() -> None:
    said = Problem(code="moonshine", message="It is full moon.", hint="Wait.")
    with pytest.raises(MlexError) as caught:
        asked(There(httpx.Response(418, content=said.model_dump_json().encode())))
    assert (caught.value.status, Problem.of(caught.value)) == (418, said)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (httpx.Response(403, content=b"<html>no</html>"), Forbidden, "does not accept this token"),
        (httpx.Response(401), Forbidden, "does not accept this token"),
        (httpx.Response(302, headers={"location": "/hub/login?next=%2Fuser"}), Forbidden, "does not accept this token"),
        (httpx.Response(404, content=b"<html>"), NotFound, "There is no MLEx at https://hub.org/user/me/"),
        (httpx.Response(424, content=b"{}"), Unavailable, "is not running"),
        (httpx.Response(500, content=b"\xff"), Unavailable, "answered with 500"),
        (
            httpx.Response(302, headers={"location": "https://a.org/x?token=1"}),
            Unavailable,
            "sends on to https://a.org",
        ),
        (httpx.Response(307, headers={"location": "http://hub.org/"}), Unavailable, "the token is not sent"),
    ],
)
def test_an_answer_that_is_not_ours_is_put_into_words(
    answer: httpx.Response, kind: type[MlexError], words: str
) -> None:
    there = There(answer)
    with pytest.raises(kind, match=words) as caught:
        asked(there, "POST")
    assert type(caught.value) is kind
    assert len(there.requests) == 1, "no redirect is followed"
    assert "token=1" not in f"{caught.value} {caught.value.hint}"


# ---------------------------------------------------------------- certificates


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server whose certificate nobody has signed."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *args: object) -> None:
            pass

    class Quiet(HTTPServer):
        def handle_error(self, *args: object) -> None:
            """A client that hangs up is what this is about."""

    server = Quiet(("127.0.0.1", 0), Hello)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, certificate
    server.shutdown()
    server.server_close()


async def test_a_certificate_is_verified(self_signed: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    port, certificate = self_signed
    client = Client(f"https://127.0.0.1:{port}", "secret")
    with pytest.raises(Unavailable, match="cannot be trusted") as caught:
        await client.ask("GET", "/jobs")
    assert "SSL_CERT_FILE" in str(caught.value.hint)
    await client.close()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = Client(f"https://127.0.0.1:{port}", "secret")
    assert await client.ask("GET", "/jobs") == b"[]"
    await client.close()
