"""Area common/network: pods reach each other, and nodes reach them, by TCP and by UDP."""

from __future__ import annotations

import busyboximage
import pytest
from docker.api.client import APIClient
from podset import FOREVER, Pods, shell

pytestmark = pytest.mark.e2e
IMAGE = "pybernetes-test/perl:1"
HTTP, UDP = 8080, 8081
# Both say the pod's name. Sockets by number, for the image has no modules: AF_INET, SOCK_DGRAM, protocol UDP.
ANSWER = (
    f'perl -e \'socket($s, 2, 2, 17); bind($s, pack("S n x12", 2, {UDP})) or die $!; '
    'while ($who = recv($s, $text, 64, 0)) { send($s, `hostname`, 0, $who) if $text eq "hostName" }\' & '
    f"mkdir /www; hostname > /www/hostName; exec httpd -f -p {HTTP} -h /www"
)
# Asks five times at most: a datagram may be lost.
ASK = (
    'perl -e \'($ip, $port) = @ARGV; socket($s, 2, 2, 17); $to = pack("S n C4 x8", 2, $port, split /\\./, $ip); '
    'for (1..5) { send($s, "hostName", 0, $to); vec($bits = "", fileno($s), 1) = 1; '
    'next unless select($bits, undef, undef, 1); recv($s, $text, 64, 0); print $text; exit } die "no answer"\' '
)


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    client = APIClient(version="auto")
    busyboximage.ensure(client, IMAGE, programs=("/usr/bin/perl",))
    client.close()
    ready = {"httpGet": {"path": "/hostName", "port": HTTP}, "periodSeconds": 1}
    for number, node in enumerate(nodes(pods)):
        server = shell(ANSWER, image=IMAGE, readinessProbe=ready)
        pods.create(f"server-{number}", server, nodeName=node)
        pods.create(f"of-node-{number}", shell(FOREVER, image=IMAGE), nodeName=node, hostNetwork=True)
    pods.create("client", shell(FOREVER, image=IMAGE))


def nodes(pods: Pods) -> list[str]:
    return [node.metadata.name for node in pods.core.list_node().items]


def reached(pods: Pods, asking: str, protocol: str) -> None:
    """A pod hears from the server of every node who it is."""
    pods.ready(asking)
    servers = [f"server-{number}" for number in range(len(nodes(pods)))]
    addresses = [pods.ready(name)["status"]["podIP"] for name in servers]
    if protocol == "http":
        ask = [f"timeout 10 wget -q -O - http://{address}:{HTTP}/hostName" for address in addresses]
    else:
        ask = [f"{ASK} {address} {UDP}" for address in addresses]
    assert pods.exec(asking, "; ".join(ask)).splitlines() == servers


def test_networking_intra_pod_http(pods: Pods) -> None:
    reached(pods, "client", "http")


def test_networking_intra_pod_udp(pods: Pods) -> None:
    reached(pods, "client", "udp")


@pytest.mark.parametrize("protocol", ["http", "udp"])
def test_networking_intra_pod_http_from_node(pods: Pods, protocol: str) -> None:
    """Networking, intra pod http, from node: from each, by both protocols."""
    for number in range(len(nodes(pods))):
        reached(pods, f"of-node-{number}", protocol)
