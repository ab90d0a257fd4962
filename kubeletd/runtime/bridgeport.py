"""Connects a sandbox to the cluster's bridge: a veth pair, an address, a default route (rtnetlink, no processes).

The engine can do that too, and takes three times as long for it (a resolver process, port rules, its own lock); it
still does where it has to forward host ports.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
import struct
import time

from kubeletd.netns import socket_in

_NEWLINK, _NEWADDR, _NEWROUTE = 16, 20, 24
_SIOCGIFFLAGS = 0x8913
_REQUEST_ACK, _CREATE, _EXCLUSIVE, _REPLACE = 0x1 | 0x4, 0x400, 0x200, 0x100
_ERROR = 2
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_NET_NS_PID, _IFLA_LINKINFO = 1, 3, 10, 19, 18
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_OIF, _RTA_GATEWAY = 4, 5
_NAMESPACE_TIMEOUT = 5.0
_NAMESPACE_POLL = 0.0005  # the program's first system call: a matter of microseconds
_LO, _ETH0 = 1, 2  # a new namespace's interface numbers: its own loopback, and the first that comes


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _link(index: int, up: bool) -> bytes:
    """An ifinfomsg."""
    return struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, index, _IFF_UP if up else 0, _IFF_UP if up else 0)


def _message(kind: int, flags: int, body: bytes, sequence: int) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST_ACK | flags, sequence, 0) + body


def _exchange(link: socket.socket, messages: list[tuple[int, int, bytes]], what: str) -> None:
    """Sends all at once and reads their acknowledgements. Raises OSError with the kernel's reason."""
    link.send(b"".join(_message(kind, flags, body, n) for n, (kind, flags, body) in enumerate(messages, 1)))
    left = len(messages)
    while left:
        answer = link.recv(16384)
        offset = 0
        while offset < len(answer):
            length, kind = struct.unpack_from("=IH", answer, offset)
            if kind == _ERROR:
                code = -struct.unpack_from("=i", answer, offset + 16)[0]
                if code:
                    raise OSError(code, f"{what}: {os.strerror(code)}")
                left -= 1
            offset += (length + 3) & ~3


def _veth(host_name: str, bridge: int, pid: int, hardware: bytes) -> bytes:
    """One RTM_NEWLINK: our end on the bridge, the other end as eth0 in the namespace of `pid`; both down."""
    peer = (
        _link(_ETH0, up=False)
        + _attribute(_IFLA_IFNAME, b"eth0\0")
        + _attribute(_IFLA_ADDRESS, hardware)
        + _attribute(_IFLA_NET_NS_PID, struct.pack("=I", pid))
    )
    info = _attribute(_INFO_KIND, b"veth") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, peer))
    return (
        _link(0, up=False)
        + _attribute(_IFLA_IFNAME, host_name.encode() + b"\0")
        + _attribute(_IFLA_MASTER, struct.pack("=I", bridge))
        + _attribute(_IFLA_LINKINFO, info)
    )


def _await_namespace(pid: int) -> None:
    """Waits until the sandbox's program, which has just been started, is in a network of its own. Raises OSError."""
    ours = os.readlink("/proc/self/ns/net")
    deadline = time.monotonic() + _NAMESPACE_TIMEOUT
    while os.readlink(f"/proc/{pid}/ns/net") == ours:
        if time.monotonic() > deadline:
            raise OSError(errno.ETIMEDOUT, f"process {pid} has no network namespace of its own")
        time.sleep(_NAMESPACE_POLL)


def _inside(pid: int) -> socket.socket:
    """A netlink socket of the namespace of `pid`."""
    return socket_in(f"/proc/{pid}/ns/net", socket.AF_NETLINK, socket.SOCK_RAW)


def connected(host_name: str) -> bool:
    """Whether the sandbox behind that interface of this machine is connected, and not only half."""
    # Not by /sys, which may be mounted for another network namespace than ours.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("=16sH22x", host_name.encode(), 0)
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
    flags: int = struct.unpack_from("=16xH", answer)[0]
    return bool(flags & _IFF_UP)


def _index(name: str) -> int:
    """An interface's number, 0 where there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def connect(bridge: str, host_name: str, pid: int, address: str, subnet: str, gateway: str) -> None:
    """Gives the network namespace of `pid` an eth0 with `address` of `subnet`. Blocks for some ms. Raises OSError.

    The hardware address follows from the IP address, so that peers' ARP entries stay right when an address passes on
    to another pod. Our end comes up last: found down, it is what an agent left that was killed in between, and
    is carried on with.
    """
    network = ipaddress.IPv4Network(subnet)
    packed = socket.inet_aton(address)
    _await_namespace(pid)
    if not _index(host_name):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
            body = _veth(host_name, socket.if_nametoindex(bridge), pid, b"\x0a\x58" + packed)
            _exchange(link, [(_NEWLINK, _CREATE | _EXCLUSIVE, body)], f"connect {address} to {bridge}")
    head = struct.pack("=BBBBI", socket.AF_INET, network.prefixlen, 0, 0, _ETH0)
    own = (
        head
        + _attribute(_IFA_LOCAL, packed)
        + _attribute(_IFA_ADDRESS, packed)
        + _attribute(_IFA_BROADCAST, network.broadcast_address.packed)
    )
    # Table main, protocol boot, scope universe, unicast.
    route = (
        struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0)
        + _attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
        + _attribute(_RTA_OIF, struct.pack("=I", _ETH0))
    )
    with _inside(pid) as link:
        messages = [
            (_NEWLINK, 0, _link(_LO, up=True)),
            (_NEWADDR, _CREATE | _REPLACE, own),
            (_NEWLINK, 0, _link(_ETH0, up=True)),
            (_NEWROUTE, _CREATE | _REPLACE, route),
        ]
        _exchange(link, messages, f"address {address}")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        body = _link(socket.if_nametoindex(host_name), up=True)
        _exchange(link, [(_NEWLINK, 0, body)], f"connect {address} to {bridge}")
