"""Ports of nodes that share their machine."""

from __future__ import annotations

import socket

from kubeletd import hostports
from kubeletd.runtime.specs import PortMapping


def test_a_port_of_every_address_is_one_of_the_nodes() -> None:
    ports = (
        PortMapping(80, 8080),
        PortMapping(81, 8081, host_ip="0.0.0.0"),
        PortMapping(82, 8082, "UDP", "1.2.3.4"),
    )
    found = hostports.opened(ports, "10.0.1.1", lambda port: port.host_port == 80)
    assert found == (
        PortMapping(80, 8080, host_ip="10.0.1.1"),
        PortMapping(80, 8080, host_ip="127.0.0.1"),
        PortMapping(81, 8081, host_ip="10.0.1.1"),
        PortMapping(82, 8082, "UDP", "1.2.3.4"),
    )


def test_what_is_free_on_loopback() -> None:
    for protocol, kind in (("TCP", socket.SOCK_STREAM), ("UDP", socket.SOCK_DGRAM)):
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if protocol == "TCP":
                taken.listen()
            port = PortMapping(taken.getsockname()[1], 80, protocol)
            assert not hostports.free_on_loopback(port)
        assert hostports.free_on_loopback(port)
    assert hostports.free_on_loopback(PortMapping(port.host_port, 80, "SCTP"))
