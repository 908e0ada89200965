"""NumPy files: headers that lie or run, objects, and what only has the name of one."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from pathlib import Path

import numpy as np

from tests.hostile import Case, Cases, Ground, Harm

GOOD = {"descr": "|u1", "fortran_order": False, "shape": (4, 32, 32)}
HEADERS = {
    "a petabyte": {**GOOD, "shape": (10**6, 10**6, 1000)},
    "more than an int64": {**GOOD, "shape": (2**40, 2**40, 2**40)},
    "a negative length": {**GOOD, "shape": (-4, 32, 32)},
    "two negative lengths": {**GOOD, "shape": (4, -32, -32)},
    "no length": {**GOOD, "shape": ()},
    "an empty axis": {**GOOD, "shape": (0, 32, 32)},
    "a text as shape": {**GOOD, "shape": "many"},
    "floats as shape": {**GOOD, "shape": (4.0, 32.0, 32.0)},
    "true as shape": {**GOOD, "shape": (True, 64, 64)},
    "a hundred axes": {**GOOD, "shape": (1,) * 100},
    "objects": {**GOOD, "descr": "|O"},
    "objects in fields": {**GOOD, "descr": [("a", "|O"), ("b", "<f8")]},
    "text": {**GOOD, "descr": "<U1000000"},
    "bytes": {**GOOD, "descr": "|S4"},
    "dates": {**GOOD, "descr": "<M8[s]"},
    "complex": {**GOOD, "descr": "<c16", "shape": (4, 8, 8)},
    "void": {**GOOD, "descr": "|V1000"},
    "long doubles": {**GOOD, "descr": "<f16", "shape": (4, 8, 8)},
    "no type": {**GOOD, "descr": "nothing"},
    "a number as type": {**GOOD, "descr": 7},
    "a subarray": {**GOOD, "descr": ("|u1", (1000, 1000, 1000))},
    "a field more": {**GOOD, "more": 1},
    "no shape": {"descr": "|u1", "fortran_order": False},
    "order as text": {**GOOD, "fortran_order": "__import__('os')"},
}
TEXTS = {
    "a call": "__import__('os').system('touch {canary}')",
    "a comprehension": "[c for c in ().__class__.__base__.__subclasses__()]",
    "a lambda": "{{'descr': (lambda: '|u1')(), 'fortran_order': False, 'shape': (4, 32, 32)}}",
    "deep brackets": "(" * 9000,
    "deep lists": "[" * 4000 + "]" * 4000,
    "a power": "{{'descr': '|u1', 'fortran_order': False, 'shape': (9**9**9,)}}",
    "nothing": "",
    "zeros": "\0" * 100,
    "half": "{{'descr': '|u1', 'fortran_",
}


def cases(at: Ground) -> Cases:
    """All of them."""
    for name, header in HEADERS.items():
        yield Case(f"npy header: {name}", _npy(at, repr(header)))
    for name, text in TEXTS.items():
        yield Case(f"npy header: {name}", _npy(at, text.format(canary=at.canary)))
    for version in (0, 1, 2, 3, 9, 255):
        yield Case(f"npy version {version}", _npy(at, repr(GOOD) + "\n", version))
    yield Case("npy header of gigabytes", _raw(at, b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 100))
    yield Case("npy of objects that run", _pickled(at, as_array=True))
    yield Case("npy that is a pickle", _pickled(at, as_array=False))
    yield Case("npy of one byte", _raw(at, b"\x93"))
    yield Case("npy of nothing", _raw(at, b""))
    yield Case("npy of noise", _raw(at, os.urandom(5000)))
    yield from _no_files(at, "a.npy")
    yield from _no_files(at, "a.tif")
    yield from _links(at, "a.npy")


def _npy(at: Ground, header: str, version: int = 1) -> str:
    text = header.encode() + b" " * (-len(header) % 64)
    size = struct.pack("<H", min(len(text), 65535)) if version == 1 else struct.pack("<I", len(text))
    return _raw(at, b"\x93NUMPY" + bytes([version, 0]) + size + text + b"\x07" * 4096)


def _raw(at: Ground, content: bytes, name: str = "a.npy") -> str:
    path = at.place(name)
    path.write_bytes(content)
    return str(path)


def _pickled(at: Ground, *, as_array: bool) -> str:
    path = at.place("a.npy")
    if as_array:
        np.save(path, np.array([[Harm(at.canary), 1], [2, 3]], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Harm(at.canary)))
    return str(path)


def _no_files(at: Ground, name: str) -> Cases:
    pipe = at.place(name)
    os.mkfifo(pipe)
    yield Case(f"{name} that is a pipe", str(pipe))
    folder = at.place(name)
    folder.mkdir()
    yield Case(f"{name} that is a folder", str(folder))
    place = at.place(name)
    with socket.socket(socket.AF_UNIX) as end:
        here = os.getcwd()
        os.chdir(place.parent)  # the name of a socket is short
        end.bind(name)
        os.chdir(here)
    yield Case(f"{name} that is a socket", str(place))
    closed = at.place(name)
    closed.write_bytes(b"\x93NUMPY")
    closed.chmod(0)
    yield Case(f"{name} that nobody may read", str(closed))


def _links(at: Ground, name: str) -> Cases:
    """With the corpus as the only root, all of these lead out of it."""
    targets = {
        "a secret": at.outside / "secret.npy",
        "a secret by dots": Path("..", "..", "outside", "secret.npy"),
        "the passwords": Path("/etc/passwd"),
        "this process": Path("/proc/self/environ"),
        "memory": Path("/proc/self/mem"),
        "zeros for ever": Path("/dev/zero"),
        "the terminal": Path("/dev/tty"),
        "standard input": Path("/dev/stdin"),
        "nothing": Path("/nowhere/at/all.npy"),
    }
    for what, target in targets.items():
        link = at.place(name)
        link.symlink_to(target)
        yield Case(f"a link to {what}", str(link))
    circle = at.place(name)
    circle.symlink_to(circle)
    yield Case("a link to itself", str(circle))
    through = at.place("folder")
    through.symlink_to(at.outside)
    yield Case("a secret through a linked folder", str(through / "secret.npy"))
    yield Case("a secret by dots in the path", str(at.folder / ".." / "outside" / "secret.npy"))
