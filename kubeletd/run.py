"""Puts an agent together from its settings and runs it."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from apimachinery import resources
from kubeclient.client import Client
from kubeclient.config import Config, ConfigError
from kubeclient.informer import Informer
from kubeletd import shutdown_plan
from kubeletd.agent import AgentOptions, NodeAgent
from kubeletd.dnsconfig import NodeDns
from kubeletd.eviction import EvictionSettings
from kubeletd.eviction_plan import thresholds
from kubeletd.feed import Feed, own_name, pods_node
from kubeletd.imagegc import ImageGCSettings
from kubeletd.images import Images
from kubeletd.imagevolumes import ImageVolumes
from kubeletd.interfaces import CannotStart, ServerOptions
from kubeletd.nodestatus import NodeSettings, pairs, parse_taint
from kubeletd.parts import Parts
from kubeletd.pullrecords import PullRecords
from kubeletd.upkeep import UpkeepSettings

if TYPE_CHECKING:
    from kubeletd.options import Options

log = logging.getLogger(__name__)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _settings(options: Options, name: str) -> NodeSettings:
    return NodeSettings(
        name=name,
        capacity=pairs(options.capacity),
        labels=pairs(options.node_labels),
        taints=tuple(parse_taint(text) for text in options.register_with_taints),
        unsafe_sysctls=options.allowed_unsafe_sysctls,
    )


def _upkeep(options: Options) -> UpkeepSettings:
    found = thresholds(
        options.eviction_hard,
        options.eviction_soft,
        options.eviction_soft_grace_period,
        options.eviction_minimum_reclaim,
    )
    eviction = EvictionSettings(
        found, options.eviction_max_pod_grace_period, options.eviction_pressure_transition_period
    )
    image_gc = ImageGCSettings(
        options.image_gc_high_threshold, options.image_gc_low_threshold, options.minimum_image_ttl_duration
    )
    return UpkeepSettings(eviction, image_gc)


def _dns(options: Options) -> NodeDns:
    try:
        host_file = _read(options.resolv_conf)
    except OSError:
        host_file = ""
    return NodeDns(options.cluster_dns, options.cluster_domain, host_file)


def _claim(root: Path) -> None:
    """The agent's directory exists and takes files. Raises CannotStart. A full disk is none of its reasons: it is the
    agent that frees it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / ".writable"
        probe.write_bytes(b"yes")
        probe.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and root.is_dir():
            log.warning("--root-dir %s takes no files: %s", root, error.strerror)
            return
        raise CannotStart(f"cannot write to --root-dir {root}: {error.strerror}") from error


def _server(options: Options, config: Config) -> ServerOptions:
    """How the API server is served: by the node's own certificate."""
    if not options.tls:
        return ServerOptions(options.bind_address, options.port)
    return ServerOptions(
        options.bind_address, options.port, config.client_certificate, config.client_key, config.ca
    )


async def _docker_node(
    options: Options, client: Client, config: Config, pods: Feed, nodes: Feed, stack: AsyncExitStack
) -> NodeAgent:
    from kubeletd.csi.node import CsiNode
    from kubeletd.environment import resolve
    from kubeletd.handlers import LifecycleHooks
    from kubeletd.node import boot_id
    from kubeletd.probes import ContainerProber
    from kubeletd.runtime.docker import DockerRuntime, gateway
    from kubeletd.sources import ApiSources
    from kubeletd.volumes import PodVolumes

    root = Path(options.root_dir)
    _claim(root)
    runtime = DockerRuntime(
        options.cluster_name,
        options.node_name,
        options.cluster_cidr,
        gateway(options.cluster_cidr),
        options.docker_endpoint,
    )
    sources = await stack.enter_async_context(ApiSources(client))
    records = PullRecords(
        Path(options.image_pull_records or root / "image_manager"),
        options.image_pull_credentials_verification_policy,
        options.preloaded_images_verification_allowlist,
    )

    csi = CsiNode(root, options.node_name, client, boot_id())

    def parts(agent: NodeAgent) -> Parts:
        def recursive_read_only() -> bool:
            return agent.engine.info is not None and agent.engine.info.recursive_read_only

        sources.changed = agent.sources_changed
        csi.record, csi.changed = agent.record, agent.keeper.changed
        images = Images(runtime, records, options.max_parallel_image_pulls)
        image_volumes = ImageVolumes(runtime, images)
        return Parts(
            runtime=runtime,
            images=images,
            image_volumes=image_volumes,
            volumes=PodVolumes(root, sources, options.node_name, image_volumes, recursive_read_only, csi),
            sources=sources,
            resolve=resolve,
            prober=ContainerProber(runtime, agent.report_probe, agent.record),
            hooks=LifecycleHooks(runtime),
            addresses=agent.addresses,
            root=root,
            dns=_dns(options),
            record=agent.record,
            delete=agent.delete_pod,
            changed=agent.writer.mark,
            flush=agent.writer.flush,
            facts=agent.facts,
            clock=agent.clock,
            pod_max_pids=options.pod_max_pids,
            shares_machine=options.shares_machine,
            csi=csi,
        )

    agent_options = AgentOptions(
        _settings(options, options.node_name),
        _server(options, config),
        options.node_ip,
        runtime.bridge,
        options.node_status_update_frequency,
        _upkeep(options),
        Path(options.pod_manifest_path) if options.pod_manifest_path else None,
    )
    return NodeAgent(agent_options, client, runtime, pods, nodes, parts, time.time)


def simulated_node(
    options: Options,
    name: str,
    client: Client,
    pods: Feed,
    nodes: Feed,
    server: ServerOptions | None = None,
) -> NodeAgent:
    """An imaginary node. One of many has no server: they share a certificate, which is none of theirs."""
    from kubeletd import simulatedparts as parts_of
    from kubeletd.runtime.simulated import SimulatedRuntime

    runtime = SimulatedRuntime(time.time)

    def parts(agent: NodeAgent) -> Parts:
        images = Images(runtime)
        return Parts(
            runtime=runtime,
            images=images,
            image_volumes=ImageVolumes(runtime, images),
            volumes=parts_of.NoVolumes(),
            sources=parts_of.NoSources(),
            resolve=parts_of.no_environment,
            prober=parts_of.SimulatedProber(agent.report_probe),
            hooks=parts_of.NoHooks(),
            addresses=agent.addresses,
            root=None,
            dns=NodeDns(),
            record=agent.record,
            delete=agent.delete_pod,
            changed=agent.writer.mark,
            flush=agent.writer.flush,
            facts=agent.facts,
            clock=agent.clock,
        )

    agent_options = AgentOptions(
        _settings(options, name),
        server,
        update_seconds=options.node_status_update_frequency,
        node_ip=options.node_ip,
    )
    return NodeAgent(agent_options, client, runtime, pods, nodes, parts, time.time)


async def _run(options: Options, config: Config) -> None:
    many = options.runtime == "simulated" and options.nodes > 1
    limit = 16 if not many else 64
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(config, user_agent="kubeletd", limit=limit))
        name = options.node_name
        pod_selector = "spec.nodeName!=" if many else f"spec.nodeName={name}"
        node_selector = "" if many else f"metadata.name={name}"
        pods = Feed(Informer(client, resources.get("pods"), field_selector=pod_selector), pods_node)
        nodes = Feed(Informer(client, resources.get("nodes"), field_selector=node_selector), own_name)
        if options.runtime == "docker":
            agents = [await _docker_node(options, client, config, pods, nodes, stack)]
        else:
            names = [f"{name}-{index}" for index in range(options.nodes)] if many else [name]
            # Only the certificate of a node tells the API server that it has reached it.
            server = _server(options, config) if not many and config.client_certificate else None
            agents = [simulated_node(options, each, client, pods, nodes, server) for each in names]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(feed.informer.run()) for feed in (pods, nodes)]
            tasks += [group.create_task(agent.run()) for agent in agents]
            loop = asyncio.get_running_loop()

            def stop() -> None:
                for task in tasks:
                    task.cancel()

            periods = shutdown_plan.periods(
                options.shutdown_grace_period, options.shutdown_grace_period_critical_pods
            )

            async def shut_down() -> None:
                loop.add_signal_handler(signal.SIGTERM, stop)  # the second one does not wait
                await asyncio.gather(*(agent.shut_down(periods) for agent in agents))
                stop()

            def terminate() -> None:
                if periods:
                    tasks.append(group.create_task(shut_down()))
                else:
                    stop()

            loop.add_signal_handler(signal.SIGTERM, terminate)
            loop.add_signal_handler(signal.SIGINT, stop)


def run(options: Options) -> int:
    """The process's exit code; returns when it is told to end."""
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname).1s %(name)s %(message)s",
        stream=sys.stderr,
    )
    try:
        config = Config.from_kubeconfig(options.kubeconfig)
    except ConfigError as error:
        print(f"kubeletd: {error}", file=sys.stderr)
        return 2
    import uvloop

    code = 0
    try:
        uvloop.run(_run(options, config))
    except* CannotStart as group:
        for refusal in _single(group):
            print(f"kubeletd: {refusal}", file=sys.stderr)
        code = 1
    return code


def _single(group: BaseExceptionGroup[CannotStart]) -> Iterator[CannotStart]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _single(error)
        else:
            yield error
