"""Places: where a volume lies, as people write it.

~/scan.zarr                  a file or folder on this machine
scan.h5::/entry/data         an array inside a file
recon/slice_*.tif            the files of one folder that match a pattern
s3://bucket/scan.zarr        a URL of a kind that a reader claims
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from mlex_jupyter.data.hosts import check_host
from mlex_jupyter.errors import Forbidden, Invalid, NotFound
from mlex_jupyter.plugins import load_all
from mlex_jupyter.settings import Settings

GROUP = "mlex.readers"
INSIDE = "::"
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
LONGEST_SHOWN = 200
NO_DATA = ("/proc", "/sys", "/dev")
MEMORY = "/dev/shm"
WITH_BUCKETS = ("s3", "gs", "az")
"""Kinds of URL that begin with a bucket's name; the host comes from the environment of whoever set it up."""
BUCKET = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*")


class Policy(NamedTuple):
    """What may be opened. Without roots it is all that the user may read: a laptop is the user's own."""

    roots: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The policy that is set; a home's own folder always belongs to it."""
        roots = (*settings.roots, settings.home) if settings.roots else ()
        return cls(tuple(os.path.realpath(root) for root in roots), settings.allowed_hosts)

    def check(self, path: str | Path) -> None:
        """Forbidden where a path really lies outside of the folders that are allowed; Invalid for a pipe or a device.

        Links and `..` are followed before anything is compared.
        """
        try:
            real = os.path.realpath(os.path.expanduser(path))
        except ValueError as error:  # a NUL
            raise Invalid(f"{_short(path)} is not a path: {error}.") from error
        if _under(real, *NO_DATA) and not _under(real, MEMORY):
            raise Invalid(f"{_short(path)} is part of the system, and holds no data.")
        if self.roots and not _under(real, *self.roots):
            raise Forbidden(
                f"{_short(path)} is outside of the folders that may be opened here.",
                hint=f"Put the data below {' or '.join(self.roots[:-1])}, or ask whoever set up this server.",
            )
        try:
            kind = os.stat(real).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            hint = "Pipes, sockets and devices hold no volume."
            raise Invalid(f"{_short(path)} is neither a file nor a folder.", hint=hint)


_policy = Policy()


def hold_to(policy: Policy) -> None:
    """From now on, in this process, open only what this allows."""
    global _policy
    _policy = policy


def check_path(path: str | Path) -> None:
    """Refuse what the policy of this process does not allow."""
    _policy.check(path)


def check_service(url: str) -> None:
    """Refuse a service that buckets are asked of, as a URL that names this machine or a metadata service would be."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https") or parts.username or parts.password:
        raise Invalid(
            f"{url[:LONGEST_SHOWN]!r} is no URL of a service.", hint="It looks like https://HOST, or http://HOST:PORT."
        )
    check_host(host, port, _policy.hosts)


def _short(path: str | Path) -> str:
    return str(path)[:LONGEST_SHOWN]


def _under(path: str, *folders: str) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def located(uri: str) -> str:
    """The place that is meant: an absolute path, or a URL that a reader claims. What it names is there."""
    if is_url(uri):
        return _claimed(uri)
    path = local_path(uri)
    if path is not None:
        return str(path)
    file, inside = split(uri)
    path = local_path(file) if inside else None
    if path is not None:
        return f"{path}{INSIDE}{inside}"
    if is_pattern(uri):
        return str(_pattern(uri))
    raise NotFound(
        f"There is no file {_short(_absolute(uri))!r}.",
        hint="A path is looked up on the machine where the server runs.",
    )


def is_url(uri: str) -> bool:
    """Whether this is a URL and not a path."""
    return URL.match(uri) is not None


def is_pattern(uri: str) -> bool:
    """Whether this names several files of one folder."""
    return any(letter in Path(uri).name for letter in "*?[")


def split(uri: str) -> tuple[str, str]:
    """The file, and the way inside it: `scan.h5::/entry/data` in two; nothing inside where the whole is a file."""
    if is_url(uri) or INSIDE not in uri or local_path(uri) is not None:
        return uri, ""
    file, _, inside = uri.rpartition(INSIDE)
    return file, inside


def local_path(uri: str) -> Path | None:
    """The absolute path of what is there and may be opened, or None."""
    try:
        path = _absolute(uri)
        check_path(path)
        return path if path.exists() else None
    except (ValueError, OSError) as error:  # a NUL, a name too long, no permission
        raise _no_path(uri, error) from error


def matching(pattern: str) -> Iterator[str]:
    """The names of the files that match a pattern, in no order. One folder is looked through, none below it."""
    path = Path(pattern)
    with_dots = path.name.startswith(".")
    for entry in path.parent.iterdir():
        if fnmatchcase(entry.name, path.name) and (with_dots or not entry.name.startswith(".")):
            yield entry.name


def title(uri: str) -> str:
    """What a person would call this place: the file's own name, and the array's where that says something."""
    file, inside = split(uri)
    stem = Path(urlsplit(uri).path if is_url(uri) else file).name
    last = inside.rstrip("/").rpartition("/")[2]
    return stem if last in ("", "data") else f"{stem}-{last}"


def _absolute(uri: str) -> Path:
    try:
        return Path(uri).expanduser().absolute()
    except (ValueError, OSError, RuntimeError) as error:  # a NUL, no such user
        raise _no_path(uri, error) from error


def _no_path(uri: str, error: Exception) -> Invalid:
    return Invalid(f"{uri[:LONGEST_SHOWN]!r} is not a path that can be opened: {str(error)[:LONGEST_SHOWN]}")


def _pattern(uri: str) -> Path:
    """The absolute pattern; at least one file matches."""
    path = _absolute(uri)
    check_path(path.parent)
    if not path.parent.is_dir():
        raise NotFound(f"There is no folder {_short(path.parent)!r}.", hint="A pattern is for the names in one folder.")
    if next(matching(str(path)), None) is None:
        raise NotFound(
            f"No file in {_short(path.parent)} matches {_short(path.name)!r}.",
            hint="Put a pattern in quotes: 'slice_*.tif'.",
        )
    return path


def _claimed(uri: str) -> str:
    """The URL, where a reader claims its kind."""
    kinds = {kind for reader in load_all(GROUP).values() for kind in getattr(reader, "schemes", ())}
    kind = URL.match(uri).group()[:-3].lower()  # type: ignore[union-attr]
    if kind not in kinds:
        known = ", ".join(f"{kind}://" for kind in sorted(kinds)) or "no kind of URL"
        raise Invalid(
            f"{uri[:LONGEST_SHOWN]} is a URL that no reader knows; known are {known}.",
            hint="Copy the file here, and say its path.",
        )
    if not uri.isprintable() or any(letter.isspace() for letter in uri):
        raise Invalid(f"{uri[:LONGEST_SHOWN]!r} is not a URL.", hint="Write %20 for a space.")
    try:
        parts = urlsplit(uri)
        port = parts.port
        secret = parts.username or parts.password or "api_key" in parts.query.lower()
    except ValueError as error:
        raise Invalid(f"{uri[:LONGEST_SHOWN]!r} is not a URL: {error}.") from error
    if secret:
        raise Invalid(
            "A place is shown to everybody who sees the dataset; it must not hold a password or a key.",
            hint="Leave it out of the URL, and set it in the environment or the settings.",
        )
    if kind not in WITH_BUCKETS:
        check_host(parts.hostname or "", port, _policy.hosts)
    elif not BUCKET.fullmatch(parts.netloc):
        raise Invalid(f"{parts.netloc[:LONGEST_SHOWN]!r} cannot be the name of a bucket.")
    return kind + uri[len(kind) :]
