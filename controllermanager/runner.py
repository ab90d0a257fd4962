"""Starts the chosen controllers around one set of informers and keeps them running."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterable
from importlib import import_module

from apimachinery.resources import Resource
from controllermanager.controller import Context, Controller
from controllermanager.options import ControllerManagerConfig
from kubeclient import Client, Config, EventRecorder, LeaderElector

log = logging.getLogger(__name__)

# Names are Kubernetes's. The order is the one they start in.
CONTROLLERS: dict[str, str] = {
    "serviceaccount-controller": "serviceaccounts:ServiceAccountController",
    "root-ca-certificate-publisher-controller": "serviceaccounts:RootCAPublisher",
    "node-ipam-controller": "nodeipam:NodeIpamController",
    "node-lifecycle-controller": "nodelifecycle:NodeLifecycleController",
    "deployment-controller": "deployment:DeploymentController",
    "replicaset-controller": "replicaset:ReplicaSetController",
    "replicationcontroller-controller": "replicaset:ReplicationControllerController",
    "endpointslice-controller": "endpoints:EndpointSliceController",
    "endpoints-controller": "endpoints:EndpointsController",
    "endpointslice-mirroring-controller": "slicemirroring:SliceMirroringController",
    "daemonset-controller": "daemonset:DaemonSetController",
    "statefulset-controller": "statefulset:StatefulSetController",
    "job-controller": "job:JobController",
    "cronjob-controller": "cronjob:CronJobController",
    "ttl-after-finished-controller": "cronjob:TTLAfterFinishedController",
    "disruption-controller": "disruption:DisruptionController",
    "horizontal-pod-autoscaler-controller": "autoscaling:HorizontalPodAutoscalerController",
    "persistentvolume-binder-controller": "volumes:PersistentVolumeBinder",
    "persistentvolumeclaim-protection-controller": "volumeprotection:ClaimProtectionController",
    "persistentvolume-protection-controller": "volumeprotection:VolumeProtectionController",
    "volumeattributesclass-protection-controller": "volumeprotection:AttributesClassProtectionController",
    "persistentvolume-attach-detach-controller": "attachdetach:AttachDetachController",
    "ephemeral-volume-controller": "volumeprotection:EphemeralVolumeController",
    "certificatesigningrequest-approving-controller": "certificates:CertificateApprover",
    "certificatesigningrequest-signing-controller": "certificates:CertificateSigner",
    "certificatesigningrequest-cleaner-controller": "certificates:CertificateCleaner",
    "clusterrole-aggregation-controller": "roleaggregation:ClusterRoleAggregationController",
    "service-cidr-controller": "servicecidr:ServiceCIDRController",
    "token-cleaner-controller": "bootstraptokens:TokenCleaner",
    "resourcequota-controller": "resourcequota:ResourceQuotaController",
    "namespace-controller": "namespace:NamespaceController",
    "taint-eviction-controller": "tainteviction:TaintEvictionController",
    "pod-garbage-collector-controller": "podgc:PodGarbageCollector",
    "serviceaccount-token-controller": "serviceaccounts:TokenController",
    "garbage-collector-controller": "garbagecollector:GarbageCollector",
}


class UnknownController(Exception):
    """`--controllers` names what does not exist."""


def chosen(names: str) -> list[str]:
    """The controllers that `a,b`, `*` or `*,-a` stand for. Raises UnknownController."""
    parts = [part for part in names.split(",") if part]
    for part in parts:
        if part != "*" and part.removeprefix("-") not in CONTROLLERS:
            known = ", ".join(CONTROLLERS)
            raise UnknownController(f"there is no controller {part.removeprefix('-')!r}; there are {known}")
    everything = "*" in parts or all(part.startswith("-") for part in parts)
    return [n for n in CONTROLLERS if "-" + n not in parts and (everything or n in parts)]


def build(context: Context, names: Iterable[str]) -> list[Controller]:
    controllers = []
    for name in names:
        module, _, cls = CONTROLLERS[name].partition(":")
        controllers.append(getattr(import_module(f"controllermanager.{module}"), cls)(context))
    return controllers


async def run(config: ControllerManagerConfig) -> None:
    """Runs until cancelled. Raises LeadershipLost, ConfigError, UnknownController."""
    names = chosen(config.controllers)
    api = Config.from_kubeconfig(config.kubeconfig or None, config.context or None)
    async with Client(api, user_agent="kube-controller-manager", limit=config.concurrency) as client:
        if not config.leader_elect:
            await run_controllers(client, config, names)
            return
        identity = f"{socket.gethostname()}_{os.urandom(8).hex()}"
        # Renewals must not queue behind a thousand creations: the elector has a client of its own.
        async with Client(api, user_agent="kube-controller-manager", limit=2, retry_for=0) as own:
            elector = LeaderElector(own, "kube-controller-manager", identity)
            await elector.run(lambda: run_controllers(client, config, names))


async def run_controllers(client: Client, config: ControllerManagerConfig, names: Iterable[str]) -> None:
    context = Context(client, EventRecorder(client, "controllermanager"), config)
    controllers = build(context, names)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_events(context.recorder))
        tasks.create_task(_informers(context, tasks))
        for controller in controllers:
            tasks.create_task(controller.run(), name=controller.name)
        for informer in list(context.informers.values()):
            await informer.synced()
        log.info("controllers run: %s", ", ".join(c.name for c in controllers))


async def _events(recorder: EventRecorder) -> None:
    try:
        await recorder.run()
    finally:
        log.debug("%d events dropped", recorder.dropped)


async def _informers(context: Context, tasks: asyncio.TaskGroup) -> None:
    """Runs every informer that is asked for, also those asked for later."""
    running: dict[Resource, asyncio.Task[None]] = {}
    while True:
        for resource in [r for r in context.informers if r not in running]:
            informer = context.informers[resource]
            running[resource] = tasks.create_task(informer.run(), name=f"informer {resource.qualified}")
        for resource in [r for r in running if r not in context.informers]:
            running.pop(resource).cancel()
        context.new_informer.clear()
        await context.new_informer.wait()
