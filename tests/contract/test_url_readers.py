"""The suite of all readers, for those of URLs, over real requests to moto's S3 and a Tiled server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import zarr

from mlex_jupyter.data.places import Policy, hold_to, located
from mlex_jupyter.data.readers import inspect_volume, open_volume
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Dataset, now
from tests import needs
from tests.contract.test_readers import INDICES
from tests.services import s3_server, tiled_server
from tests.volumes import ngff, truth, zarr_2, zarr_3, zarr_3_shards

ARRAY = truth(5, 32, 48)
KEYS = {"AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "a-secret"}


@pytest.fixture(autouse=True)
def this_machine_is_allowed() -> Iterator[None]:
    hold_to(Policy(hosts=("127.0.0.1",)))
    yield
    hold_to(Policy())


# ---------------------------------------------------------------- the services, once for all


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A bucket `beam` with what is written in test_readers."""
    needs.require("s3")
    import obstore
    from obstore.store import S3Store

    folder = tmp_path_factory.mktemp("s3")
    for write in (zarr_3, zarr_2, zarr_3_shards, ngff):
        write(folder / "rec" / write.__name__, ARRAY)
    group = zarr.open_group(folder / "rec/many.zarr", mode="w")
    group.create_array("raw/first", data=ARRAY)
    group.create_array("second", data=ARRAY)
    with s3_server(folder / "log.txt") as url:
        httpx.put(f"{url}/beam").raise_for_status()
        bucket = S3Store("beam", endpoint=url, client_options={"allow_http": True}, **_given())
        for file in (file for file in folder.rglob("*") if file.is_file() and file.name != "log.txt"):
            obstore.put(bucket, str(file.relative_to(folder)), file.read_bytes())
        everybody = {"x-amz-acl": "public-read"}
        httpx.put(f"{url}/open", headers=everybody).raise_for_status()
        for file in (file for file in (folder / "rec/zarr_3.zarr").rglob("*") if file.is_file()):
            place = f"{url}/open/{file.relative_to(folder / 'rec')}"
            httpx.put(place, content=file.read_bytes(), headers=everybody).raise_for_status()
        yield url, folder / "log.txt"


def asked_of_open(log: Path) -> list[str]:
    """What was read of the bucket that is open to all; the server may still be writing down what others read."""
    return [line for line in log.read_text().splitlines() if "GET /open" in line]


def _given() -> dict[str, Any]:
    return {"region": "us-east-1", "access_key_id": "a-key", "secret_access_key": "a-secret"}


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Tiled server that lets everybody read."""
    needs.require("tiled")
    folder = tmp_path_factory.mktemp("tiled")
    np.save(folder / "stack.npy", ARRAY)
    with tiled_server(folder, folder / "log.txt") as url:
        yield url, folder / "log.txt"


@pytest.fixture
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """The service that a test is about, with what its reader finds in the environment."""
    url, log = request.getfixturevalue(request.param)
    for name in [name for name in os.environ if name.startswith(("AWS_", "TILED_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(log.parent / "none"))
    if request.param == "s3":
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(name, value)
    return url, log


def opened(place: str, service: tuple[str, Path], axes: str | None = None) -> Volume:
    return open_volume(registered(place, service, axes))


def registered(place: str, service: tuple[str, Path], axes: str | None = None) -> Dataset:
    info = inspect_volume(place.format(url=service[0]), axes)
    return Dataset(id="data-1", name="stack", created=now(), **info.model_dump())


of_s3 = pytest.mark.parametrize("service", ["s3"], indirect=True)
of_tiled = pytest.mark.parametrize("service", ["tiled"], indirect=True)
every_place = pytest.mark.parametrize(
    ("place", "service"),
    [
        ("s3://beam/rec/zarr_3.zarr", "s3"),
        ("s3://beam/rec/zarr_3_shards.zarr/", "s3"),
        ("s3://beam/rec/zarr_2.zarr", "s3"),
        ("s3://beam/rec/ngff.ome.zarr", "s3"),
        ("tiled+{url}/scans/stack", "tiled"),
        ("{url}/api/v1/metadata/scans/plain", "tiled"),
    ],
    indirect=["service"],
)


# ---------------------------------------------------------------- what every reader does


@every_place
def test_a_stack_is_read_as_it_was_written(place: str, service: tuple[str, Path]) -> None:
    with opened(place, service) as volume:
        assert (volume.shape, volume.dtype, volume.axes, volume.nbytes) == ((5, 32, 48), "uint16", "zyx", ARRAY.nbytes)
        np.testing.assert_array_equal(np.asarray(volume), ARRAY)


@every_place
def test_every_piece_is_what_numpy_would_give(place: str, service: tuple[str, Path]) -> None:
    with opened(place, service) as volume:
        for index in INDICES:
            np.testing.assert_array_equal(volume[index], ARRAY[index], err_msg=str(index))
        wrong: list[Any] = [5, -6, (0, 0, 0, 0), (Ellipsis, Ellipsis), [0, 1], "z", 1.0]
        for index in wrong:
            with pytest.raises(IndexError):
                volume[index]


@every_place
def test_axes_may_be_said_and_wrong_ones_are_refused(place: str, service: tuple[str, Path]) -> None:
    with opened(place, service, "cyx") as volume:
        assert volume.shape_ZCYX == (1, 5, 32, 48)
    with pytest.raises(Invalid, match="3 dimensions"):
        inspect_volume(place.format(url=service[0]), "yx")


@every_place
def test_a_place_is_located_as_it_is(place: str, service: tuple[str, Path]) -> None:
    dataset = registered(place, service)
    assert located(dataset.uri) == dataset.uri == place.format(url=service[0])


# ---------------------------------------------------------------- S3


@of_s3
def test_a_slice_in_s3_is_one_object(service: tuple[str, Path]) -> None:
    with opened("s3://beam/rec/zarr_3.zarr", service) as volume:
        before = service[1].read_text()
        np.testing.assert_array_equal(volume[3], ARRAY[3])
    asked = service[1].read_text().removeprefix(before)
    assert asked.count("GET ") == 1 and "/c/3/0/0" in asked


@of_s3
def test_an_image_in_s3_says_its_pixels_and_a_group_what_it_holds(service: tuple[str, Path]) -> None:
    info = inspect_volume("s3://beam/rec/ngff.ome.zarr")
    assert (info.pixel_size, info.pixel_unit, info.reader) == ((0.5, 0.5, 0.5), "µm", "s3")
    with pytest.raises(Invalid, match=r"raw/first \(5, 32, 48\), second") as refused:
        inspect_volume("s3://beam/rec/many.zarr")
    assert "s3://beam/rec/many.zarr/raw/first" in str(refused.value.hint)
    assert inspect_volume("s3://beam/rec/many.zarr/raw/first").shape == (5, 32, 48)


@of_s3
@pytest.mark.parametrize(
    "place", ["s3://beam/nowhere.zarr", "s3://no-such-bucket/a.zarr", "s3://beam", "s3://beam/rec"]
)
def test_what_is_not_in_the_bucket_is_said_so(place: str, service: tuple[str, Path]) -> None:
    with pytest.raises(Invalid) as refused:
        inspect_volume(place)
    assert "\n" not in refused.value.message and refused.value.hint


@of_s3
def test_files_in_s3_say_what_to_do(service: tuple[str, Path]) -> None:
    with pytest.raises(Invalid, match="only zarr") as refused:
        inspect_volume("s3://beam/scan.tif")
    assert "aws s3 cp s3://beam/scan.tif" in str(refused.value.hint)


def test_keys_are_those_that_every_tool_of_s3_finds(tmp_path: Path) -> None:
    from mlex_jupyter.data.s3 import options

    assert not options({"AWS_ACCESS_KEY_ID": "k"})["skip_signature"]
    assert options({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")})["skip_signature"]
    saved = tmp_path / "credentials"
    saved.write_text("[default]\naws_access_key_id = k%1\naws_secret_access_key = s\n[other]\n")
    found = options({"AWS_SHARED_CREDENTIALS_FILE": str(saved)})
    assert (found["access_key_id"], found["secret_access_key"], found["skip_signature"]) == ("k%1", "s", False)


@of_s3
def test_without_keys_what_is_open_to_all_is_read(service: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    with opened("s3://open/zarr_3.zarr", service) as volume:
        np.testing.assert_array_equal(volume[2], ARRAY[2])
    with pytest.raises(Invalid, match="may not be read") as refused:
        inspect_volume("s3://beam/rec/zarr_3.zarr")
    assert "AWS_ACCESS_KEY_ID" in str(refused.value.hint)


@pytest.mark.needs("s3")
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("http://127.0.0.1:{port}", "127.0.0.1 is this machine, and is not asked"),
        ("http://localhost:{port}", "localhost is this machine, and is not asked"),
        ("http://2130706433:{port}", "2130706433 is this machine, and is not asked"),
        ("http://169.254.169.254", "169.254.169.254 is on this machine's own link, where metadata services are"),
        ("https://[fd00:ec2::254]/latest", "fd00:ec2::254 is a metadata service"),
        ("http://user:word@127.0.0.1:{port}", "is no URL of a service"),
        ("file:///etc", "is no URL of a service"),
        ("http://[", "is no URL of a service"),
    ],
)
def test_a_service_of_this_machine_or_of_metadata_is_not_asked_for_a_bucket(
    variable: str, endpoint: str, says: str, s3: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_to(Policy())
    before = asked_of_open(s3[1])
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, endpoint.format(port=urlsplit(s3[0]).port))
    with pytest.raises(Invalid) as refused:
        inspect_volume("s3://open/zarr_3.zarr")
    assert says in refused.value.message
    assert refused.value.hint
    assert asked_of_open(s3[1]) == before, "and nobody was asked"


@pytest.mark.needs("s3")
async def test_the_setting_allows_a_service_and_only_that_one(
    s3: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3[0])
    place = "s3://open/zarr_3.zarr"
    allowed = Settings.load(home=tmp_path, allowed_hosts=(urlsplit(s3[0]).netloc,))
    assert (await Reading(allowed).inspect(place)).shape == ARRAY.shape
    with pytest.raises(Invalid, match="127.0.0.1 is this machine, and is not asked") as refused:
        await Reading(Settings.load(home=tmp_path, allowed_hosts=("127.0.0.1:1",))).inspect(place)
    assert "allowed_hosts" in str(refused.value.hint)


@pytest.mark.parametrize("region", ["us-east-1.evil.example/#", "@169.254.169.254/", "a b"])
def test_a_region_is_no_way_to_name_another_host(region: str) -> None:
    from mlex_jupyter.data.s3 import options

    with pytest.raises(Invalid, match="is no region"):
        options({"AWS_REGION": region})


# ---------------------------------------------------------------- Tiled


@of_tiled
@pytest.mark.parametrize(
    "place",
    [
        "tiled+{url}/scans/stack",
        "tiled+{url}/scans/stack/",
        "{url}/api/v1/metadata/scans/stack",
        "{url}/api/v1/array/full/scans/stack?slice=0",
        "{url}/ui/browse/scans/stack",
    ],
)
def test_an_array_of_tiled_is_found_by_what_people_copy(place: str, service: tuple[str, Path]) -> None:
    info = inspect_volume(place.format(url=service[0]))
    assert (info.axes, info.chunks) == ("zyx", (1, 32, 48))
    assert (info.pixel_size, info.pixel_unit) == ((2.0, 0.5, 0.5), "µm")


@of_tiled
def test_tiled_sends_what_is_asked_for_and_no_more(service: tuple[str, Path]) -> None:
    with opened("tiled+{url}/scans/stack", service) as volume:
        before = service[1].read_text()
        np.testing.assert_array_equal(volume[3, :8], ARRAY[3, :8])
    asked = [line for line in service[1].read_text().removeprefix(before).splitlines() if "GET" in line]
    assert len(asked) == 1 and "expected_shape=1%2C8%2C48&" in asked[0], asked


@of_tiled
def test_a_large_piece_of_tiled_comes_in_several_requests(
    service: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("mlex_jupyter.data.tiled"), "AT_ONCE", 2 * 32 * 48 * 2)
    with opened("tiled+{url}/scans/stack", service) as volume:
        np.testing.assert_array_equal(volume[...], ARRAY)
        np.testing.assert_array_equal(volume[::-2, 3], ARRAY[::-2, 3])


@of_tiled
def test_dimensions_and_types_are_those_of_the_server(service: tuple[str, Path]) -> None:
    assert inspect_volume(f"tiled+{service[0]}/scans/channels").axes == "czyx"
    assert inspect_volume(f"tiled+{service[0]}/scans/float").dtype == "float32"


@of_tiled
@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("scans", "stack"),
        ("", "scans"),
        ("empty", "empty"),
        ("nowhere", "nowhere"),
        ("scans/complex", "real numbers"),
        ("scans/line", "two dimensions"),
    ],
)
def test_what_is_no_volume_is_said_in_one_sentence(path: str, says: str, service: tuple[str, Path]) -> None:
    with pytest.raises(MlexError, match=says) as refused:
        inspect_volume(f"tiled+{service[0]}/{path}")
    assert "\n" not in refused.value.message


@of_tiled
def test_a_key_is_taken_from_the_environment(
    service: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "stack.npy", ARRAY)
    with tiled_server(tmp_path, tmp_path / "log.txt", anonymous=False) as url:
        with pytest.raises(Invalid) as refused:
            inspect_volume(f"tiled+{url}/scans/stack")
        assert "TILED_API_KEY" in str(refused.value.hint)
        monkeypatch.setenv("TILED_API_KEY", "akey1234")
        assert inspect_volume(f"tiled+{url}/scans/stack").shape == (5, 32, 48)


@pytest.mark.parametrize("place", ["http://host.example/scan.npy", "https://user:word@host.example/api/v1/metadata/a"])
def test_other_urls_and_keys_in_urls_are_refused(place: str) -> None:
    with pytest.raises(Invalid):
        inspect_volume(place)
    hold_to(Policy())
    with pytest.raises(Invalid, match="is this machine"):
        inspect_volume("tiled+http://127.0.0.1:1/a")
