"""Uploads over HTTP, to a server that is killed in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlex_jupyter.remote import Remote
from tests.servers import Server

pytestmark = pytest.mark.needs("lab")
PIECE = 300_000


async def test_an_upload_survives_the_kill_of_its_server_and_appears_when_it_is_whole(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "scan.npy"
    np.save(path, np.random.default_rng(1).integers(0, 60_000, (8, 256, 256), dtype="uint16"))
    content = path.read_bytes()
    file = {"path": "scan.npy", "size": len(content)}
    with server.client() as client:
        upload = client.post("/uploads", json={"name": "scan", "files": [file]}).raise_for_status().json()
        here, pieces = 0, 0
        while here < len(content):
            where = {"path": "scan.npy", "offset": here}
            sent = client.post(f"/uploads/{upload['id']}/pieces", params=where, content=content[here : here + PIECE])
            assert sent.is_success, sent.text
            pieces += 1
            if pieces == 2:
                server.kill()
                server.start()
                assert client.get("/datasets").json() == []
            here = client.get(f"/uploads/{upload['id']}").json()["files"][0]["received"]
            assert here == min(len(content), PIECE * pieces), "an acknowledged piece is there"
        dataset = client.post(f"/uploads/{upload['id']}/finish").raise_for_status().json()
        assert Path(dataset["uri"]).read_bytes() == content
        assert client.get("/datasets/scan/picture").headers["content-type"] == "image/png"


async def test_another_computers_volume_is_uploaded_with_one_call(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "mine.npy"
    np.save(path, np.arange(4 * 64 * 64, dtype="uint16").reshape(4, 64, 64))
    async with Remote(server.url, server.token) as lab:
        dataset = await lab.upload(str(path), name="from-my-laptop")
        assert dataset.name == "from-my-laptop"
        assert Path(dataset.uri).is_relative_to(server.home)
        assert [found.name for found in await lab.data()] == ["from-my-laptop"]


def test_what_will_not_do_is_refused_in_words(server: Server) -> None:
    with server.client() as client:
        for body in (
            {"name": "x", "files": [{"path": "../x", "size": 1}]},
            {"name": "x"},
            {"name": "a/b", "files": []},
        ):
            refused = client.post("/uploads", json=body)
            assert refused.status_code == 400, refused.text
            assert refused.json()["message"]
        assert client.post("/uploads/upload-0/pieces", params={"path": "x", "offset": 0}).status_code == 404
        assert client.post("/uploads/upload-0/pieces", params={"path": "x", "offset": "many"}).status_code == 400
