"""S3: zarr arrays and OME-Zarr images in a bucket, `s3://bucket/scan.zarr`; chunks are fetched when asked for.

Keys, region and endpoint are those that every tool of S3 knows: AWS_ACCESS_KEY_ID and its like, AWS_REGION,
AWS_ENDPOINT_URL, or ~/.aws/credentials. Without keys the bucket is asked anonymously.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlex_jupyter.data.extras import needed
from mlex_jupyter.data.places import check_service
from mlex_jupyter.data.readers import opened
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid

SIGNING = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Any of these says that there are keys. A machine's metadata service is never asked for them."""
PATIENCE = {"timeout": timedelta(seconds=30), "connect_timeout": timedelta(seconds=5)}
RETRIES = {"max_retries": 2, "retry_timeout": timedelta(seconds=40)}
FILES = (".tif", ".tiff", ".npy", ".h5", ".hdf5", ".nxs")
REGION = "us-east-1"
SERVICE = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
"""The variables that name it, the first one first."""
LISTED_AT_ONCE = 1000
PLAIN = re.compile(r"[A-Za-z0-9-]+")
KEYS = "AWS_ENDPOINT_URL says which service is asked; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are the keys."


class S3Reader:
    """Zarr in S3."""

    name = "s3"
    schemes = ("s3",)

    def opens(self, uri: str) -> bool:
        """By the scheme."""
        return uri.startswith("s3://")

    def open(self, uri: str, axes: str | None = None) -> Volume:
        """Fetch what the array says of itself."""
        return opened(open_s3, uri, axes)


def open_s3(uri: str, axes: str | None) -> Volume:
    """The array, or the finest level of the image, below this key."""
    name, _, key = uri.removeprefix("s3://").partition("/")
    key = key.strip("/")
    if key.lower().endswith(FILES):
        raise Invalid(
            f"{uri} is a file; in S3 only zarr is read piece by piece.",
            hint=f"Copy it here first, as with `aws s3 cp {uri} .`, or save it as zarr in the bucket.",
        )
    from mlex_jupyter.data.bucket import Bucket, careful
    from mlex_jupyter.data.ngff import volume_in

    with _in_words(uri):
        return volume_in(Bucket(_below(name, key), read_only=True), uri, axes, reader="s3", source=careful)


def listing(uri: str) -> Iterator[list[tuple[str, int, str]]]:
    """Key below the dataset's, size and ETag of every object, some at a time, as the service says them."""
    name, _, key = uri.removeprefix("s3://").partition("/")
    obstore = needed("s3", "obstore")
    with _in_words(uri):
        for some in obstore.list(_below(name, key.strip("/")), chunk_size=LISTED_AT_ONCE):
            if any(one["e_tag"] is None for one in some):
                raise Invalid(
                    f"The service of {uri} says no ETags, so nothing tells whether an object is what it was.",
                    hint="Copy it here to verify it.",
                )
            yield [(one["path"], one["size"], one["e_tag"]) for one in some]


def _below(name: str, key: str) -> Any:
    """What is in a bucket below a key, from a service that may be asked."""
    asked = options(os.environ)
    if "endpoint" in asked:
        check_service(asked["endpoint"])
    return needed("s3", "obstore.store").S3Store(name, prefix=key or None, **asked)


@contextlib.contextmanager
def _in_words(uri: str) -> Iterator[None]:
    errors = needed("s3", "obstore.exceptions")
    try:
        yield
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        raise Invalid(f"{uri} may not be read with the keys that are set, or without any.", hint=KEYS) from error
    except FileNotFoundError as error:
        raise Invalid(
            f"There is no zarr array or image at {uri}.",
            hint=f"Say the key of the folder that has zarr.json, .zarray or .zgroup in it. {KEYS}",
        ) from error


def options(environment: Mapping[str, str]) -> dict[str, Any]:
    """How a bucket is asked. What the environment says of keys is taken from there by the library."""
    keys = {} if any(environment.get(name) for name in SIGNING) else _saved_keys(environment)
    signed = keys or any(environment.get(name) for name in SIGNING)
    endpoint = next((environment[name] for name in SERVICE if environment.get(name)), "")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or REGION
    if not PLAIN.fullmatch(region):
        raise Invalid(f"{region[:80]!r} is no region.", hint="AWS_REGION says which; it looks like us-east-1.")
    client = PATIENCE | {"allow_http": endpoint.startswith("http://")}
    service = {"endpoint": endpoint} if endpoint else {}
    how = {"region": region, "skip_signature": not signed, "client_options": client, "retry_config": RETRIES}
    return keys | service | how


def _saved_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """The keys in ~/.aws/credentials, where there are some."""
    file = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    saved = configparser.ConfigParser(interpolation=None)
    try:
        saved.read(file)
        found = saved[environment.get("AWS_PROFILE") or "default"]
    except (KeyError, configparser.Error, UnicodeDecodeError):
        return {}
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name.removeprefix("aws_"): found[name] for name in names if name in found}
