"""Names, paths and URLs that mean more than they seem to, and archives under names of their own and others'."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np

from tests.hostile import Case, Cases, Ground, Harm

PATHS = (
    "", " ", ".", "..", "/", "//", "~", "~root", "~nobody-of-this-name/a.npy", "\0", "a\0b.npy", "new\nline.npy",
    "\x1b[2J.npy", "x" * 5000, "/" + "a/" * 3000, "-rf", "--help", "*", "**/*", "?" * 300, "[", "[!a]*.tif",
    "$(touch {canary})", "`touch {canary}`", "| touch {canary}", "; touch {canary}", "a.npy && touch {canary}",
    "%s%n%x", "{{0.__class__}}", "{{{{7*7}}}}", "..\\..\\outside\\secret.npy", "\u202efig.npy", "\ud800.npy",
    "/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/self/mem", "/proc/self/fd/0", "/proc/1/environ",
    "/proc/kcore", "/sys/kernel/notes", "/dev/zero", "/dev/null", "/dev/stdin", "/dev/tty", "/dev/mem", "/dev/fd/0",
    "{outside}/secret.npy", "{outside}/secret.zarr", "{outside}/secret.tif", "{folder}/../outside/secret.npy",
    "{folder}/./../outside/./secret.npy", "/proc/self/root{outside}/secret.npy", "/proc/self/cwd/secret.npy",
    "{folder}::/../outside/secret.npy", "::", "::/etc/passwd", "a::b::c", "{outside}/secret.h5::/data",
)  # fmt: skip
HOSTS = (
    "169.254.169.254", "169.254.170.2", "metadata.google.internal", "100.100.100.200", "[fd00:ec2::254]",
    "[fe80::1]", "localhost", "localhost.", "LOCALHOST", "127.0.0.1", "127.1", "127.255.255.254", "2130706433",
    "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "0", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "2852039166", "0xa9fea9fe", "224.0.0.1",
    "255.255.255.255", "user@127.0.0.1", "example.org@127.0.0.1", "127.0.0.1%2f.example.org",
    "127。0。0。1", "①②⑦.⓪.⓪.①",
)  # fmt: skip
URLS = (
    "file:///etc/passwd", "file://{outside}/secret.npy", "FILE:///etc/passwd", "memory://a", "data:,a", "javascript:1",
    "ftp://127.0.0.1/a", "gopher://127.0.0.1/", "zip://a.zarr::/etc/passwd", "simplecache::file:///etc/passwd",
    "github://a:b@/c", "ssh://127.0.0.1/a", "smb://127.0.0.1/a", "hdfs://127.0.0.1/a", "reference://::/etc/passwd",
    "s3://../a", "s3:///a", "s3://user:key@bucket/a", "s3://a b/c", "s3://BUCKET/..", "s3://169.254.169.254@b/a",
    "http://", "https://", "http://[", "http://[::1", "http://a:99999999/api/v1/metadata/", "http://\0/", "://", "a://b",
    "tiled+file:///etc/passwd", "tiled+http://", "http:/127.0.0.1/api/v1/metadata/a", "http:127.0.0.1",
)  # fmt: skip


def cases(at: Ground) -> Cases:
    """All of them."""
    for path in PATHS:
        said = path.format(canary=at.canary, outside=at.outside, folder=at.folder)
        yield Case(f"the path {path[:40]!r}", said)
    for host in HOSTS:
        yield Case(f"Tiled at {host}", f"tiled+http://{host}:9/api/v1/metadata/a")
    for host in HOSTS[:12]:
        yield Case(f"the web at {host}", f"http://{host}/api/v1/metadata/a")
    for url in URLS:
        yield Case(f"the URL {url}", url.format(outside=at.outside))
    yield from _archives(at)


def _archives(at: Ground) -> Cases:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4, 32, 32), np.uint8))
    plain = buffer.getvalue()
    contents: dict[str, bytes] = {
        "bomb.npy.gz": gzip.compress(bytes(1 << 26)),
        "escape.zarr.zip": _zip({"../../outside/new.npy": plain, "/tmp/escaped.npy": plain, "zarr.json": b"{}"}),
        "bomb.zip": _zip({"zarr.json": bytes(1 << 26)}),
        "objects.npz": _zip({"a.npy": pickle.dumps(Harm(at.canary))}),
        "weights.pt": _zip({"archive/data.pkl": pickle.dumps(Harm(at.canary)), "archive/version": b"3"}),
        "weights.pkl": pickle.dumps(Harm(at.canary)),
        "escape.tar": _tar("../../outside/new.npy"),
        "zip.npy": _zip({"a.npy": plain}),
        "zip.tif": _zip({"a.npy": plain}),
        "zip.h5": _zip({"a.npy": plain}),
        "program.npy": b"#!/bin/sh\ntouch '" + str(at.canary).encode() + b"'\n",
        "program.py": f"open({str(at.canary)!r}, 'w')".encode(),
        "page.tif": b"<html><script>1</script></html>",
    }
    for name, content in contents.items():
        path = at.place(name)
        path.write_bytes(content)
        yield Case(f"an archive called {name}", str(path))
        folder = at.place("a.zarr")
        folder.mkdir()
        (folder / "zarr.json").write_bytes(content)
        yield Case(f"what is {name} as metadata", str(folder))


def _zip(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def _tar(name: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        about = tarfile.TarInfo(name)
        about.size = 4
        archive.addfile(about, io.BytesIO(b"open"))
    return made.getvalue()
