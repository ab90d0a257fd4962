"""From a pod to the sandbox it is to have: its files, its runtime, its ports."""

from __future__ import annotations

from dataclasses import replace

from kubeletd import hostports, podfiles, runtimeclasses, translate
from kubeletd.interfaces import Pod
from kubeletd.parts import Parts
from kubeletd.runtime.specs import SandboxSpec


async def sandbox_spec(parts: Parts, pod: Pod, attempt: int) -> SandboxSpec:
    """The pod has an address and its /etc files afterwards. Raises AddressesExhausted, PodConfigError, StatusError,
    OSError."""
    ip = "" if translate.host_network(pod) else await parts.addresses.acquire(pod["metadata"]["uid"])
    if parts.root is not None:
        for reason, message in podfiles.write(parts.root, pod, ip, parts.dns):
            parts.record(pod, "", "Warning", reason, message)
    handler = await runtimeclasses.handler(parts.sources, pod)
    spec = translate.sandbox_spec(pod, attempt, ip, parts.dns.domain, handler, parts.pod_max_pids)
    own = parts.facts().host_ip
    if parts.shares_machine and spec.ports and own:
        spec = replace(spec, ports=hostports.opened(spec.ports, own, hostports.free_on_loopback))
    return spec
