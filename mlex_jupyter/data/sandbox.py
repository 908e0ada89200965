"""What a reader process can do no more, even where a file has taken it over: write, start programs, ask other hosts.

The kernel holds it to that (Landlock, Linux 5.13 and later) together with all that it would start; where it does not
know how, Python's own hooks still keep libraries from it. Readers of URLs may connect to the hosts that are allowed.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import sysconfig
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from mlex_jupyter.data.hosts import check_address

CREATE, ADD, RESTRICT = 444, 445, 446
VERSION = 1
NO_NEW_PRIVILEGES = 38
BENEATH = 1
EXECUTE, WRITE, READ, LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE = 1 << 13, 1 << 14
CHANGES = WRITE | sum(1 << bit for bit in range(4, 13))
"""Writing to files; removing and making them, folders, links, devices, pipes and sockets."""
BIND_AND_CONNECT = 0b11
OF_FILES = EXECUTE | WRITE | READ | TRUNCATE
RUNS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "pickle.find_class",
)
SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/proc", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu")


def confine(*, reads: Collection[str], writes: Collection[str], urls: bool) -> bool:
    """Give up what a reader does not need, for good. With `reads` only these folders and the system's are read.

    True where the kernel sees to it.
    """
    sys.addaudithook(_refuse_programs)
    if not urls:
        sys.addaudithook(_refuse_connections)
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE, None, 0, VERSION)
    if version < 1:
        return False
    handled = EXECUTE | CHANGES | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    readable = READ | LIST if reads else 0
    network = BIND_AND_CONNECT if version >= 4 and not urls else 0
    asked = struct.pack("=QQ", handled | readable, network)[: 16 if version >= 4 else 8]
    rules = libc.syscall(CREATE, asked, len(asked), 0)
    if rules < 0:
        return False
    try:
        for path in writes:
            _allow(libc, rules, path, (handled | readable) & ~EXECUTE)
        _allow(libc, rules, os.devnull, WRITE | READ & readable)
        for path in (*reads, *_libraries()) if reads else ():
            _allow(libc, rules, path, readable)
        libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return bool(libc.syscall(RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there is not read
    try:
        access &= access if os.path.isdir(path) else OF_FILES
        libc.syscall(ADD, rules, BENEATH, struct.pack("=Qi", access, place), 0)
    finally:
        os.close(place)


def _libraries() -> Iterable[str]:
    """What Python itself reads."""
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return {*SYSTEM, *filter(None, sys.path), *sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, ours}


def _refuse_programs(event: str, about: tuple[object, ...]) -> None:
    if event in RUNS:
        raise PermissionError(f"a reader runs nothing ({event})")


def _refuse_connections(event: str, about: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
        raise PermissionError("a reader of files asks no other host")


def connect_only_to(hosts: Collection[str]) -> None:
    """Refuse connections to this machine, also where a name or a redirect leads there after it was checked."""
    proxies = [urlsplit(os.environ.get(name, "")).hostname for name in ("http_proxy", "https_proxy")]
    allowed = _addresses([*(host.rpartition(":")[0] or host for host in hosts), *filter(None, proxies)])

    def refuse(event: str, about: tuple[object, ...]) -> None:
        if event == "socket.connect" and isinstance(where := about[1], tuple) and where[0] not in allowed:
            check_address(str(where[0]))

    sys.addaudithook(refuse)


def _addresses(hosts: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for host in hosts:
        try:
            found |= {str(each[4][0]) for each in socket.getaddrinfo(host.strip("[]"), None)}
        except OSError:
            continue  # a host that is not there is not connected to
    return found
