"""Hosts that a URL may name: none of this machine or its own link, where services answer that trust every caller.

A cloud's metadata service, which gives out keys, is such a one. A setting allows hosts by name.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection

import psutil

from mlex_jupyter.errors import Invalid

METADATA = frozenset({"100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"})
"""Of clouds whose services have an address like any other."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_host(host: str, port: int | None, allowed: Collection[str]) -> None:
    """Invalid where a host, or any address that its name stands for, is not to be asked."""
    host = host.rstrip(".").lower()
    if host in allowed or f"{host}:{port}" in allowed:
        return
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise Invalid(
            f"There is no host {host[:200]!r}.", hint="Is its name right, and this machine online?"
        ) from error
    for address in found:
        check_address(address, host)


def check_address(address: str, host: str | None = None) -> None:
    """Invalid for an address of this machine, its own link, or a cloud's metadata service."""
    if (why := _why_not(ipaddress.ip_address(address.partition("%")[0]))) is not None:
        raise Invalid(
            f"{host or address} is {why}, and is not asked.",
            hint="Where that is meant, whoever set up this server can name it in the setting allowed_hosts.",
        )


def _why_not(address: Address) -> str | None:
    address = _inner(address)
    if str(address) in METADATA:
        return "a metadata service"
    if address.is_link_local:
        return "on this machine's own link, where metadata services are"
    if address.is_loopback or address.is_unspecified or str(address) in _own():
        return "this machine"
    return "no address of one host" if address.is_multicast or address.is_reserved else None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _own() -> set[str]:
    return {each.address.partition("%")[0] for found in psutil.net_if_addrs().values() for each in found}
