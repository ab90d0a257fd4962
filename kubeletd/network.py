"""The node's part of the pod network: addresses of its pods out of its podCIDR, and its own address on the bridge."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import struct

_RTM_NEWADDR = 20
_FLAGS = 0x1 | 0x4 | 0x400  # request, acknowledge, create
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NLMSG_ERROR = 2


class AddressesExhausted(Exception):
    """Every address of the podCIDR is taken."""


class Addresses:
    """One address a pod, by uid. The first of the CIDR is the node's own.

    Addresses go round, so that a new pod does not get the one a pod has just given back (its peers may still talk
    to it).
    """

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}  # uid → address
        self._network: ipaddress.IPv4Network | None = None
        self._next = 0
        self._known = asyncio.Event()

    @property
    def cidr(self) -> str:
        return str(self._network) if self._network else ""

    @property
    def node_address(self) -> str:
        return str(self._network[1]) if self._network else ""

    def assign(self, cidr: str) -> None:
        """The controller manager's decision; it never changes for a node's life."""
        self._network = ipaddress.IPv4Network(cidr)
        self._known.set()

    async def acquire(self, uid: str) -> str:
        """The pod's address, the same when asked again. Waits for the podCIDR. Raises AddressesExhausted."""
        if uid in self._taken:
            return self._taken[uid]
        await self._known.wait()
        assert self._network is not None
        used = set(self._taken.values())
        first, count = 2, self._network.num_addresses - 3  # without network, node and broadcast
        for step in range(count):
            address = str(self._network[first + (self._next + step) % count])
            if address not in used:
                self._next = (self._next + step + 1) % count
                self._taken[uid] = address
                return address
        raise AddressesExhausted(f"no address is left in {self._network}")

    def reserve(self, uid: str, address: str) -> None:
        """A pod that was found running has it."""
        if address:
            self._taken[uid] = address

    def release(self, uid: str) -> None:
        self._taken.pop(uid, None)


def add_address(interface: str, address: str) -> None:
    """Adds `address`/32 to an interface of this machine (rtnetlink). No error if it is there. Raises OSError."""
    index = socket.if_nametoindex(interface)
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, index)
    for kind in (_IFA_LOCAL, _IFA_ADDRESS):
        body += struct.pack("=HH", 4 + len(packed), kind) + packed
    message = struct.pack("=IHHII", 16 + len(body), _RTM_NEWADDR, _FLAGS, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        link.send(message)
        answer = link.recv(4096)
    kind = struct.unpack_from("=IHHII", answer)[1]
    if kind == _NLMSG_ERROR:
        code = -struct.unpack_from("=i", answer, 16)[0]
        if code not in (0, errno.EEXIST):
            raise OSError(code, f"cannot add {address} to {interface}")
