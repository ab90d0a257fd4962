"""Local clusters: created, started, stopped and deleted as processes of this machine."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeclient.config import Config

from . import components, engine, userconfig
from .home import ClusterHome, ClusterSpec, NodeSpec, clusters
from .supervisor import running_pid

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
_START_TIMEOUT = 60.0
_POLL = 0.02

Step = Callable[[str], None]


class ClusterError(Exception):
    """A cluster cannot be created, found or changed; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new cluster shall be. `capacity` applies to each node; empty shares the machine out among them."""

    name: str
    nodes: int = 3
    storage: str = "sqlite"
    runtime: str = "docker"
    port: int = 6443
    capacity: tuple[str, ...] = ()
    etcd_servers: tuple[str, ...] = ()


def find(name: str) -> ClusterHome:
    home = ClusterHome.of(name)
    if not home.exists():
        known = ", ".join(c.name for c in clusters()) or "none"
        raise ClusterError(f'no cluster named "{name}" (clusters here: {known})')
    return home


def _shared_out(nodes: int) -> dict[str, str]:
    """An equal share of the machine for each node, so that together they promise no more than it has."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    milli = (os.cpu_count() or 1) * 1000 // nodes
    return {"cpu": f"{milli}m", "memory": f"{memory // nodes // 1024}Ki"}


def _capacity(settings: Sequence[str], nodes: int) -> dict[str, str]:
    capacity = _shared_out(nodes)
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign:
            raise ClusterError(f"--node-capacity {setting}: expected RESOURCE=QUANTITY, such as cpu=2")
        capacity[key] = value
    return capacity


def free_range(start: str, taken: Sequence[str]) -> str:
    """The first /16 from `start` upwards that overlaps none of `taken`."""
    used = [ipaddress.IPv4Network(t, strict=False) for t in taken]
    candidate = ipaddress.IPv4Network(start)
    while any(candidate.overlaps(other) for other in used):
        following = int(candidate.network_address) + candidate.num_addresses
        if following >> 24 != int(candidate.network_address) >> 24:
            raise ClusterError(f"no free address range from {start} upwards")
        candidate = ipaddress.IPv4Network((following, 16))
    return str(candidate)


def _routes() -> list[str]:
    """The machine's IPv4 routes but the default one."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        address, mask = (int.from_bytes(bytes.fromhex(fields[i]), "little") for i in (1, 7))
        if mask:
            found.append(f"{ipaddress.IPv4Address(address)}/{mask.bit_count()}")
    return found


def specify(wish: Wish) -> ClusterSpec:
    """The whole specification of a new cluster. Raises ClusterError, EngineError."""
    if not _NAME.fullmatch(wish.name):
        raise ClusterError(
            f'cluster name "{wish.name}": lower-case letters, digits and "-", at most 30 characters'
        )
    if not 1 <= wish.nodes <= 200:
        raise ClusterError(f"--nodes {wish.nodes}: must be from 1 to 200")
    if ClusterHome.of(wish.name).exists():
        raise ClusterError(f'cluster "{wish.name}" exists already (pybctl cluster delete {wish.name})')
    if wish.storage == "etcd" and not wish.etcd_servers:
        raise ClusterError("--storage etcd needs --etcd-servers")
    others = [home.spec() for home in clusters()]
    taken = _routes() + [cidr for other in others for cidr in (other.cluster_cidr, other.service_cidr)]
    if wish.runtime == "docker":
        if os.geteuid() != 0:
            raise ClusterError("root is needed for containers' networks and mounts: run it with sudo")
        taken += engine.used_subnets(engine.connect())
    port = engine.free_port(wish.port)
    capacity = _capacity(wish.capacity, wish.nodes)
    names = [f"{wish.name}-node-{i}" for i in range(1, wish.nodes + 1)]
    return ClusterSpec(
        name=wish.name,
        port=port,
        storage="etcd" if wish.etcd_servers else wish.storage,
        runtime=wish.runtime,
        cluster_cidr=free_range("10.244.0.0/16", taken),
        service_cidr=free_range("10.96.0.0/16", taken),
        nodes=tuple(NodeSpec(name, capacity) for name in names),
        etcd_servers=wish.etcd_servers,
    )


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Held while address ranges are chosen and taken: clusters made at the same time, of whichever home, would choose
    the same ones."""
    folder = "/run/lock" if os.path.isdir("/run/lock") else tempfile.gettempdir()
    path = os.path.join(folder, f"pybernetes-{os.geteuid()}.lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def create(wish: Wish, step: Step, *, wait: bool = True) -> ClusterSpec:
    """Creates and starts a cluster; with `wait` until every node is Ready. What failed to start is taken away."""
    with _one_at_a_time() if wish.runtime == "docker" else nullcontext():
        return _create(wish, step, wait=wait)


def _create(wish: Wish, step: Step, *, wait: bool) -> ClusterSpec:
    spec = specify(wish)
    home = ClusterHome.of(spec.name)
    home.make(spec)
    try:
        step("Making certificates")
        components.make_credentials(home, spec)
        components.write_specifications(home, spec, followers=False)
        step("Starting the control plane")
        _start_supervisor(home)
        asyncio.run(_finish(home, spec, step, wait))
        userconfig.add(spec.name, home.admin_kubeconfig.read_text())
    except BaseException:
        delete(home, lambda _: None)
        raise
    return spec


def _start_supervisor(home: ClusterHome) -> None:
    log = os.open(home.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "pybctl.supervisor", str(home.run)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(log)


def start(home: ClusterHome) -> None:
    """Starts a stopped cluster's supervisor; a running one stays as it is."""
    if not running_pid(home.run, "supervisor"):
        _start_supervisor(home)


def _tail(path: Path) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-5:])
    except FileNotFoundError:
        return "(no log)"


async def _finish(home: ClusterHome, spec: ClusterSpec, step: Step, wait: bool) -> None:
    """Waits for the API server, gives it what a cluster needs, and waits for the nodes."""
    async with Client(Config.from_kubeconfig(home.admin_kubeconfig)) as client:
        await _until_ready(client, home)
        components.write_specifications(home, spec, followers=True)
        _signal_supervisor(home, signal.SIGHUP)
        await _bootstrap(client, spec)
        if wait:
            step(f"Waiting for {len(spec.nodes)} nodes")
            try:
                async with asyncio.timeout(_START_TIMEOUT):
                    await _nodes_ready(client, {node.name for node in spec.nodes})
            except TimeoutError:
                log = home.logs / f"{components.agent_name(spec.nodes[0].name)}.log"
                raise ClusterError(
                    f"the nodes did not become Ready in {_START_TIMEOUT:.0f} s:\n{_tail(log)}"
                ) from None


async def _until_ready(client: Client, home: ClusterHome) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            await client.request("GET", "/readyz")
            return
        except (StatusError, OSError):
            if time.monotonic() > deadline:
                log = _tail(home.logs / "apiserver.log")
                raise ClusterError(
                    f"the API server did not become ready in {_START_TIMEOUT:.0f} s:\n{log}"
                ) from None
            await asyncio.sleep(_POLL)


async def _bootstrap(client: Client, spec: ClusterSpec) -> None:
    folder = Path(__file__).parent.parent / "manifests"
    text = "\n---\n".join((folder / f"{name}.yaml").read_text() for name in ("cluster-dns", "storage-class"))
    for obj in yaml.safe_load_all(text.replace("CLUSTER_DNS", components.dns_address(spec))):
        resource = resources.by_kind(obj["apiVersion"], obj["kind"])
        assert resource is not None
        try:
            await client.create(resource, obj, field_manager="pybctl")
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise


def is_ready(node: dict[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def _nodes_ready(client: Client, wanted: set[str]) -> None:
    nodes = resources.get("nodes")
    found, version = await client.list(nodes)
    ready = {n["metadata"]["name"] for n in found if is_ready(n)}
    if wanted <= ready:
        return
    async for kind, obj in client.watch(nodes, resource_version=version):
        name = obj["metadata"].get("name", "")
        if kind in ("ADDED", "MODIFIED") and is_ready(obj):
            ready.add(name)
        else:
            ready.discard(name)
        if wanted <= ready:
            return
    await _nodes_ready(client, wanted)


def _signal_supervisor(home: ClusterHome, number: int) -> bool:
    pid = running_pid(home.run, "supervisor")
    if not pid:
        return False
    os.kill(pid, number)
    return True


def _wait_gone(home: ClusterHome, name: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while running_pid(home.run, name) and time.monotonic() < deadline:
        time.sleep(_POLL)


def stop(home: ClusterHome) -> None:
    """Ends every process of the cluster; its containers go on running."""
    if _signal_supervisor(home, signal.SIGTERM):
        _wait_gone(home, "supervisor")
    # Without a supervisor (it was killed), or for what outlived it.
    for path in home.run.glob("*.pid"):
        pid = running_pid(home.run, path.stem)
        if pid:
            os.kill(pid, signal.SIGKILL)
            _wait_gone(home, path.stem)


def delete(home: ClusterHome, step: Step) -> None:
    """Ends and removes everything of a cluster: processes, containers, network, rules, mounts, files, context."""
    from kubeletd import localvolumes, mounts

    step("Stopping processes")
    stop(home)
    spec = home.spec()
    if spec.runtime == "docker":
        step("Removing containers")
        client = engine.connect()
        engine.remove_containers(client, engine.containers(client, spec.name))
        engine.remove_rules(spec.name)
        engine.remove_networks(client, spec.name)
    for point in mounts.below(home.directory):
        mounts.unmount(point)
    userconfig.remove(spec.name)
    for root in home.directory.glob("nodes/*/root"):
        # One by one, as they may have limits that go with them.
        for name in localvolumes.present(root):
            localvolumes.remove(root, name)
    mounts.remove(home.directory)


def stop_node(home: ClusterHome, node: str) -> int:
    """Kills a node as a power cut would: its agent and all its containers. How many containers it had."""
    spec = home.spec()
    _known(spec, node)
    name = components.agent_name(node)
    components.set_enabled(home, name, False)
    pid = running_pid(home.run, name)
    _signal_supervisor(home, signal.SIGHUP)
    if pid:
        os.kill(pid, signal.SIGKILL)
    _wait_gone(home, name)
    if spec.runtime != "docker":
        return 0
    client = engine.connect()
    return engine.kill_containers(client, engine.containers(client, spec.name, node))


def start_node(home: ClusterHome, node: str) -> None:
    """Starts a stopped node's agent."""
    _known(home.spec(), node)
    components.set_enabled(home, components.agent_name(node), True)
    if not _signal_supervisor(home, signal.SIGHUP):
        start(home)


def _known(spec: ClusterSpec, node: str) -> None:
    names = [n.name for n in spec.nodes]
    if node not in names:
        raise ClusterError(f'cluster "{spec.name}" has no node "{node}" (its nodes: {", ".join(names)})')


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A component's process: `rss` in bytes, 0 with `pid` 0 where it does not run."""

    name: str
    pid: int
    rss: int


def processes(home: ClusterHome) -> list[ProcessStatus]:
    """Every component of a cluster, the supervisor too."""
    found = []
    names = sorted(path.stem for path in home.run.glob("*.json") if not path.name.startswith("."))
    for name in [*names, "supervisor"]:
        pid = running_pid(home.run, name)
        found.append(ProcessStatus(name, pid, _rss(pid)))
    return found


def _rss(pid: int) -> int:
    if not pid:
        return 0
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0
