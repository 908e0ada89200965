"""What can be said of data behind URLs, whether they are what they were: in S3 by ETags, of Tiled nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import obstore
import pytest
from obstore.store import S3Store

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.settings import Settings
from mlex_jupyter.telling import heard_by
from tests.services import s3_server, tiled_server
from tests.volumes import truth, zarr_3

KEYS = {"AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "a-secret", "AWS_REGION": "us-east-1"}
ARRAY = truth(5, 32, 48)


@pytest.fixture
async def engine(home: Path) -> AsyncIterator[Mlex]:
    made = Mlex(Settings.load(home=home, user="tester", allowed_hosts=("127.0.0.1",)))
    yield made
    made.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A service with a bucket, and its log."""
    log = tmp_path_factory.mktemp("s3") / "log.txt"
    with s3_server(log) as url:
        httpx.put(f"{url}/beam").raise_for_status()
        yield url, log


@pytest.fixture
def bucket(service: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """A bucket with one zarr array."""
    zarr_3(tmp_path / "rec" / "zarr_3", ARRAY)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": service[0]}.items():
        monkeypatch.setenv(name, value)
    made = S3Store("beam", endpoint=service[0], client_options={"allow_http": True})
    for file in (file for file in (tmp_path / "rec").rglob("*") if file.is_file()):
        obstore.put(made, str(file.relative_to(tmp_path)), file.read_bytes())
    return made


def chunk(slice_: int) -> dict[str, Any]:
    return {"path": f"rec/zarr_3.zarr/c/{slice_}/0/0"}


@pytest.mark.needs("s3")
async def test_objects_that_changed_are_named_by_their_etags_and_none_is_read(
    engine: Mlex, bucket: S3Store, service: tuple[str, Path]
) -> None:
    await engine.register("s3://beam/rec/zarr_3.zarr", name="scan")
    before = service[1].read_text()
    lines: list[str] = []
    with heard_by(lines.append):
        noted = await engine.verify("scan")
    assert (noted.state, noted.files) == ("noted", 6)
    assert noted.checksum is not None and noted.checksum.startswith("sha256-of-etags:")
    assert "6 objects" in noted.says and "by the ETags that the service says; no value was read" in noted.says
    assert lines == ["listed 6 objects of scan"]
    asked = service[1].read_text().removeprefix(before)
    assert "list-type=2" in asked and "/c/" not in asked
    assert (await engine.verify("scan")).state == "same"
    assert (await engine.dataset("scan")).checksum == noted.checksum

    obstore.put(bucket, **chunk(2), file=b"other")
    obstore.delete(bucket, chunk(3)["path"])
    obstore.put(bucket, "rec/zarr_3.zarr/new", b"new")
    found = await engine.verify("scan")
    assert (found.state, found.changed, found.missing, found.added) == ("changed", ("c/2/0/0",), ("c/3/0/0",), ("new",))
    assert "1 changed, 1 missing, 1 added, of 6 objects" in found.says
    assert "may have another ETag and the same values" in found.says
    assert (await engine.verify("scan", accept=True)).state == "noted"
    assert (await engine.verify("scan")).state == "same"


@pytest.mark.needs("s3")
async def test_a_bucket_in_which_nothing_is_left_is_said_so(engine: Mlex, bucket: S3Store) -> None:
    await engine.register("s3://beam/rec/zarr_3.zarr", name="scan")
    for some in obstore.list(bucket):
        obstore.delete(bucket, [one["path"] for one in some])
    with pytest.raises(NotFound, match="There is nothing at s3://beam/rec/zarr_3.zarr"):
        await engine.verify("scan")


@pytest.mark.needs("s3")
async def test_a_service_that_is_named_anew_is_asked_at_once(
    engine: Mlex, bucket: S3Store, service: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    with pytest.raises(Invalid, match="localhost is this machine"):
        await engine.register("s3://beam/rec/zarr_3.zarr")
    monkeypatch.setenv("AWS_ENDPOINT_URL", service[0])
    assert (await engine.register("s3://beam/rec/zarr_3.zarr")).shape == ARRAY.shape


@pytest.mark.needs("tiled")
async def test_of_tiled_it_is_said_what_cannot_be_had(engine: Mlex, tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", ARRAY)
    with tiled_server(tmp_path, tmp_path / "log.txt") as url:
        await engine.register(f"tiled+{url}/scans/stack", name="served")
        with pytest.raises(Invalid, match="says nothing by which its values could be told from others") as refused:
            await engine.verify("served")
    assert "Only its shape and type are compared" in str(refused.value.hint)
