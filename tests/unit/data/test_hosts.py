"""Hosts: none of this machine, its own link or a cloud's metadata, under whatever name; unless they are allowed."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from mlex_jupyter.data.hosts import check_address, check_host
from mlex_jupyter.errors import Invalid


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "0.0.0.0", "0"),
        *("::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1", "169.254.169.254"),
        *("2852039166", "169.254.170.2", "100.100.100.200", "fd00:ec2::254", "224.0.0.1", "255.255.255.255"),
        *("", " ", "no-such-host.invalid", "a" * 300, "\0", "①②⑦.0.0.1", socket.gethostname()),
    ],
)
def test_this_machine_and_metadata_services_are_not_asked(host: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_host(host, 80, ())
    assert refused.value.hint
    assert len(refused.value.message) < 400


@pytest.mark.parametrize("address", ["8.8.8.8", "10.1.2.3", "192.168.7.9", "2606:4700:4700::1111"])
def test_other_machines_are_also_those_of_a_facilitys_own_network(address: str) -> None:
    check_address(address)


def test_a_name_that_stands_for_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(Invalid, match="harmless.example is this machine"):
        check_host("harmless.example", 80, ())


@pytest.mark.parametrize("allowed", ["localhost", "localhost:8000"])
def test_what_is_allowed_is_asked(allowed: str) -> None:
    check_host("localhost", 8000, (allowed,))
    with pytest.raises(Invalid):
        check_host("127.0.0.1", 8000, (allowed,))


def test_one_port_does_not_allow_another() -> None:
    with pytest.raises(Invalid):
        check_host("localhost", 22, ("localhost:8000",))


ASKING = """
import sys
from mlex_jupyter.data.sandbox import confine, connect_only_to
connect_only_to(sys.argv[2:])
confine(reads=[], writes=[], urls=True)
import httpx
try:
    print(httpx.get(sys.argv[1], follow_redirects=True, timeout=10).text)
except Exception as error:
    print(type(error).__name__, error)
"""


class Redirecting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.2:{self.server.server_port}/secret")
            self.end_headers()
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"answered")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("", 0), Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "allowed", "says"),
    [
        ("/", "127.0.0.1", "answered"),
        ("/", "10.9.8.7", "is this machine"),
        ("/away", "127.0.0.1", "is this machine"),  # a redirect leads where the URL may not
    ],
)
def test_redirects_and_names_that_change_lead_nowhere_either(port: int, path: str, allowed: str, says: str) -> None:
    command = [sys.executable, "-c", ASKING, f"http://127.0.0.1:{port}{path}", allowed]
    done = subprocess.run(command, capture_output=True, text=True)
    assert says in done.stdout, done.stdout + done.stderr
