"""HDF5: values in other files, links in circles, shapes beyond all, and broken insides."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile import Case, Cases, Ground

VALUES = np.zeros((4, 32, 32), np.uint8)


def cases(at: Ground) -> Cases:
    """All of them; none where h5py is not installed."""
    try:
        import h5py
    except ImportError:
        return
    secret = at.outside / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = np.load(at.outside / "secret.npy")
    space = (4, 32, 32)
    layout = h5py.VirtualLayout(space, "u1")
    layout[:] = h5py.VirtualSource(str(secret), "data", space)
    climbing = h5py.VirtualLayout(space, "u1")
    climbing[:] = h5py.VirtualSource("../../outside/secret.h5", "data", space)
    raw = [(str(at.outside / "secret.raw"), 0, 4096)]
    makers: dict[str, Callable[[Any], object]] = {
        "a link to a secret": lambda f: f.__setitem__("data", h5py.ExternalLink(str(secret), "/data")),
        "a link that climbs": lambda f: f.__setitem__("data", h5py.ExternalLink("../../outside/secret.h5", "/data")),
        "a link to the passwords": lambda f: f.__setitem__("data", h5py.ExternalLink("/etc/passwd", "/")),
        "a link to a pipe": lambda f: f.__setitem__("data", h5py.ExternalLink("/dev/stdin", "/")),
        "a linked group": lambda f: f.__setitem__("exchange", h5py.ExternalLink(str(secret), "/")),
        "values in a secret": lambda f: f.create_dataset("data", space, "u1", external=raw),
        "values in the passwords": lambda f: f.create_dataset(
            "data", space, "u1", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
        ),
        "a view of a secret": lambda f: f.create_virtual_dataset("data", layout),
        "a view that climbs": lambda f: f.create_virtual_dataset("data", climbing),
        "a link to itself": lambda f: f.__setitem__("data", h5py.SoftLink("/data")),
        "links in a circle": lambda f: (
            f.__setitem__("data", h5py.SoftLink("/other")),
            f.__setitem__("other", h5py.SoftLink("/data")),
        ),
        "a link that leads nowhere": lambda f: f.__setitem__("data", h5py.SoftLink("/nowhere")),
        "a group that is in itself": lambda f: f.create_group("data").__setitem__("data", f["data"]),
        "a petabyte": lambda f: f.create_dataset("data", (10**6, 10**6, 10**3), "u1", chunks=(1, 100, 100)),
        "more than an int64": lambda f: f.create_dataset("data", (2**40, 2**20, 2**3), "u1", chunks=(1, 64, 8)),
        "objects": lambda f: f.create_dataset("data", space, h5py.special_dtype(vlen=bytes)),
        "references": lambda f: f.create_dataset("data", space, h5py.ref_dtype),
        "fields": lambda f: f.create_dataset("data", space, [("a", "u1"), ("b", "f8")]),
        "long doubles": lambda f: f.create_dataset("data", space, np.longdouble),
        "nothing": lambda f: None,
        "no values": lambda f: f.create_dataset("data", data=h5py.Empty("u1")),
        "ten thousand groups": lambda f: [f.create_group(f"g{number}") for number in range(10_000)],
        "a hundred groups in each other": lambda f: f.create_group("/".join(["g"] * 100)),
        "strange names": lambda f: [f.create_group(name) for name in ("..", "a\nb", "$(touch x)", "::")],
        "a signal that climbs": lambda f: (
            f.attrs.__setitem__("default", "../../../outside/secret.h5"),
            f.attrs.__setitem__("NX_class", "NXroot"),
            f.__setitem__("data", VALUES),
        ),
    }
    for name, maker in makers.items():
        path = at.place("a.h5")
        try:
            with h5py.File(path, "w") as file:
                maker(file)
        except (ValueError, OSError, TypeError):  # this version of HDF5 does not even write it
            continue
        yield Case(f"HDF5 with {name}", str(path))
        yield Case(f"HDF5 with {name}, by its place", f"{path}::/data")
    yield from _broken(at, h5py)


def _broken(at: Ground, h5py: Any) -> Cases:
    good = at.place("good.h5")
    with h5py.File(good, "w") as file:
        file.create_dataset("data", data=VALUES, chunks=(1, 32, 32), compression="gzip")
    whole = good.read_bytes()
    chances = np.random.default_rng(1)
    for number in range(25):
        content = bytearray(whole)
        for place in chances.integers(8, len(whole), 40):
            content[place] = int(chances.integers(256))
        yield Case(f"HDF5 with noise in it, {number}", _raw(at, bytes(content)))
    contents = {
        "the signature only": whole[:8],
        "half of it": whole[: len(whole) // 2],
        "noise after the signature": whole[:8] + os.urandom(3000),
        "lengths beyond all": whole[:24] + b"\xff" * 200 + whole[224:],
    }
    for name, content in contents.items():
        yield Case(f"HDF5 of {name}", _raw(at, content))
    linked = at.place("a.h5")
    linked.symlink_to(at.outside / "secret.h5")
    yield Case("a link to a secret HDF5", str(linked))
    for inside in ("/../../outside", "/data/../../..", "/" * 1000, "/\0", "/data::/data", "::", "/" + "a/" * 2000):
        yield Case(f"inside HDF5 {inside[:20]!r}", f"{good}::{inside}")


def _raw(at: Ground, content: bytes) -> str:
    path: Path = at.place("a.h5")
    path.write_bytes(content)
    return str(path)
