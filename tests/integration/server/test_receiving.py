"""Pieces that are written while they come: who may send them, what breaks off, what is refused, a full disk."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from mlex_jupyter.remote import Remote
from tests.engine import fill, small_disk
from tests.servers import Server, end_processes_of, running_server

LARGE, SMALL = 3 << 20, 1 << 10
CONFIG = """
from pathlib import Path
from jupyter_server.auth import Authorizer

class Rights(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action == "read" or not Path({home!r}, "withdrawn").exists()

c.ServerApp.authorizer_class = Rights
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("pieces")
    (home / "jupyter").mkdir()
    (home / "jupyter" / "jupyter_server_config.py").write_text(CONFIG.format(home=str(home)))
    try:
        with running_server(home, app="server") as server:
            yield server
    finally:
        end_processes_of(home)


def begun(client: httpx.Client, size: int) -> str:
    files = [{"path": "scan.npy", "size": size}]
    upload = client.post("/uploads", json={"name": f"scan-{secrets.token_hex(4)}", "files": files})
    return str(upload.raise_for_status().json()["id"])


def sent(client: httpx.Client, upload: str, content: bytes, offset: int = 0, **more: Any) -> httpx.Response:
    where = {"path": "scan.npy", "offset": offset, **more.pop("params", {})}
    return client.post(f"/uploads/{upload}/pieces", params=where, content=content, **more)


def here(client: httpx.Client, upload: str) -> int:
    return int(client.get(f"/uploads/{upload}").json()["received"])


def kept(server: Server, upload: str) -> bytes:
    file = server.home / "uploads" / upload / "files" / "scan.npy"
    return file.read_bytes() if file.exists() else b""


def request(server: Server, upload: str, size: int, *more: str) -> bytes:
    lines = [
        f"POST /mlex/api/v1/uploads/{upload}/pieces?path=scan.npy&offset=0 HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Authorization: token {server.token}",
        f"Content-Length: {size}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_pieces_come_over_one_connection_as_they_were_sent(served: Server, size: int) -> None:
    content = np.random.default_rng(size).bytes(3 * size)
    with socket.create_connection(("127.0.0.1", served.port)) as wire, served.client() as client:
        upload = begun(client, len(content))
        for offset in range(0, len(content), size):
            head = request(served, upload, size).replace(b"offset=0", b"offset=%d" % offset)
            wire.sendall(head + content[offset : offset + size])
            answer = b""
            while not answer.endswith(b"}"):
                answer += wire.recv(1 << 16)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            assert here(client, upload) == offset + size
        assert kept(served, upload) == content


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_nobody_else_has_a_byte_stored(served: Server, size: int) -> None:
    content = b"\1" * size
    with served.client() as client, httpx.Client(base_url=served.api) as stranger:
        upload = begun(client, size)
        assert sent(stranger, upload, content).status_code == 403
        stranger.headers["Authorization"] = "token wrong"
        assert sent(stranger, upload, content).status_code == 403
        assert here(client, upload) == 0


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_page_from_elsewhere_has_no_byte_stored(served: Server, size: int) -> None:
    content = b"\1" * size
    with served.client() as client, httpx.Client(follow_redirects=True) as browser:
        upload = begun(client, size)
        browser.get(f"{served.url}/login?token={served.token}")
        browser.base_url = httpx.URL(served.api)
        assert browser.get("/uploads").status_code == 200
        assert sent(browser, upload, content).status_code == 403, "no XSRF token"
        xsrf = {"X-XSRFToken": browser.cookies["_xsrf"]}
        elsewhere = sent(browser, upload, content, headers={**xsrf, "Origin": "http://elsewhere.example"})
        assert elsewhere.status_code in (403, 404)
        assert here(client, upload) == 0
        assert sent(browser, upload, content, headers=xsrf).status_code == 200
        assert here(client, upload) == size


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_who_may_only_read_has_no_byte_stored(served: Server, size: int) -> None:
    withdrawn = served.home / "withdrawn"
    with served.client() as client:
        upload = begun(client, size)
        withdrawn.touch()
        try:
            refused = sent(client, upload, b"\1" * size)
        finally:
            withdrawn.unlink()
        assert refused.status_code == 403
        assert refused.json()["message"]
        assert here(client, upload) == 0


def test_what_is_refused_is_said_in_words_and_the_connection_goes_on(served: Server) -> None:
    with served.client() as client:
        upload = begun(client, LARGE)
        for content, offset, status, words in (
            (b"\1" * LARGE, 7, 400, "beyond"),
            (b"\1" * (LARGE - 9), 9, 409, "0 bytes are here"),
            (b"\1" * ((1 << 25) + 1), 0, 400, "at most"),
            (b"\1" * (1 << 25), 0, 400, "beyond"),
        ):
            refused = sent(client, upload, content, offset)
            assert (refused.status_code, words in refused.json()["message"]) == (status, True), refused.text
        assert sent(client, "upload-0", b"\1" * LARGE).status_code == 404
        assert sent(client, upload, b"\1" * LARGE, params={"offset": "many"}).status_code == 400
        assert here(client, upload) == 0
        assert sent(client, upload, b"\2" * LARGE).is_success
        assert sent(client, upload, b"\3" * LARGE).is_success, "what is here already"
        assert kept(served, upload) == b"\2" * LARGE


def test_who_asks_first_whether_to_send_is_answered(served: Server) -> None:
    with served.client() as client, socket.create_connection(("127.0.0.1", served.port)) as wire:
        upload = begun(client, LARGE)
        wire.sendall(request(served, upload, LARGE, "Expect: 100-continue", "Connection: close"))
        assert wire.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        wire.sendall(b"\1" * LARGE)
        answer = b"".join(iter(lambda: wire.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert here(client, upload) == LARGE


def test_what_came_before_the_connection_broke_is_there_and_nobody_waits_for_the_rest(served: Server) -> None:
    content = np.random.default_rng(1).bytes(LARGE)
    with served.client() as client:
        upload = begun(client, LARGE)
        with socket.create_connection(("127.0.0.1", served.port)) as wire:
            wire.sendall(request(served, upload, LARGE) + content[: LARGE // 2])
            while not (came := here(client, upload)):
                time.sleep(0.05)
            # While that one is silent, another goes on; it may send what the first already has.
            assert sent(client, upload, content).is_success
        assert came <= LARGE // 2
        assert kept(served, upload) == content


@pytest.mark.needs("mount")
async def test_a_disk_that_becomes_full_is_said_and_the_upload_goes_on_once_there_is_room(tmp_path: Path) -> None:
    volume = tmp_path / "scan.npy"
    np.save(volume, np.random.default_rng(1).integers(0, 255, (20, 1024, 1024), dtype="uint8"))
    content = volume.read_bytes()
    with small_disk(tmp_path / "disk", 320) as disk:
        home = disk / "home"
        home.mkdir()
        try:
            with running_server(home, app="server") as server, server.client() as client:
                files = [{"path": "scan.npy", "size": len(content), "mark": str(volume.stat().st_mtime_ns)}]
                upload = client.post("/uploads", json={"name": "scan", "files": files}).raise_for_status().json()["id"]
                assert sent(client, upload, content[:LARGE]).is_success
                filler = fill(disk)
                with filler.open("rb+") as file:
                    file.truncate(filler.stat().st_size - LARGE)
                refused = sent(client, upload, content[LARGE : 4 * LARGE], LARGE)
                assert refused.status_code == 503
                assert "disk is full" in refused.json()["message"]
                assert LARGE <= here(client, upload) < 4 * LARGE
                filler.unlink()
                async with Remote(server.url, server.token) as lab:
                    dataset = await lab.upload(str(volume), name="scan")
                assert dataset.uri.split("/")[-3] == upload, "it is the upload that had begun"
                assert Path(dataset.uri).read_bytes() == content
        finally:
            end_processes_of(home)
