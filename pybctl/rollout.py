"""`pybctl scale` and `pybctl rollout status|history|undo|restart`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

from apimachinery import resources
from apimachinery.resources import Resource
from kubeclient.client import Client

from . import target
from .target import UsageError
from .terminal import table

_REVISION = "deployment.kubernetes.io/revision"
_CAUSE = "kubernetes.io/change-cause"
_RESTARTABLE = ("deployments", "daemonsets", "statefulsets")


def add_parsers(commands: Any) -> None:
    parser = commands.add_parser("scale", help="set the number of replicas")
    parser.add_argument("words", nargs="+", metavar="TYPE/NAME")
    parser.add_argument("--replicas", type=int, required=True)
    target.add_flags(parser)
    parser.set_defaults(run=lambda a: asyncio.run(_scale(a)))
    parser = commands.add_parser("rollout", help="follow, list, undo or restart a rollout")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text, run in (
        ("status", "wait until a rollout is complete", _status),
        ("history", "list the revisions of a Deployment", _history),
        ("undo", "return a Deployment to an earlier revision", _undo),
        ("restart", "replace every pod", _restart),
    ):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("words", nargs="+", metavar="TYPE/NAME")
        if verb == "undo":
            one.add_argument("--to-revision", type=int, default=0, help="default: the one before")
        if verb == "status":
            one.add_argument("--timeout", type=float, default=None, metavar="SECONDS")
        target.add_flags(one)
        one.set_defaults(run=lambda a, run=run: asyncio.run(run(a)))


async def _scale(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    if arguments.replicas < 0:
        raise UsageError(f"--replicas {arguments.replicas}: must be greater than or equal to 0")
    async with Client(config) as client:
        resource, name = await target.one(client, arguments.words, "deployments")
        body = {"spec": {"replicas": arguments.replicas}}
        await client.patch(resource, name, body, config.namespace, kind="merge", subresource="scale")
    print(f"{resource.singular}.{resource.group}/{name} scaled to {arguments.replicas}")
    return 0


def progress(kind: str, obj: dict[str, Any]) -> tuple[str, bool, bool]:
    """(what to say, complete, failed) of a rollout, in kubectl's words."""
    spec, status, name = obj["spec"], obj.get("status") or {}, obj["metadata"]["name"]
    if obj["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return f"Waiting for {kind} spec update to be observed...", False, False
    if kind == "daemon set":
        wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
        available = status.get("numberAvailable", 0)
    else:
        wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
        available = status.get("availableReplicas", 0)
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return f'{kind} "{name}" exceeded its progress deadline', False, True
    waiting = f'Waiting for {kind} "{name}" rollout to finish: '
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new replicas have been updated...", False, False
    if kind != "daemon set" and status.get("replicas", 0) > updated:
        old = status["replicas"] - updated
        return f"{waiting}{old} old replicas are pending termination...", False, False
    if available < updated:
        return f"{waiting}{available} of {updated} updated replicas are available...", False, False
    return f'{kind} "{name}" successfully rolled out', True, False


def _kind(resource: Resource) -> str:
    kinds = {"deployments": "deployment", "daemonsets": "daemon set", "statefulsets": "statefulset"}
    if resource.plural not in kinds:
        raise UsageError(f"no rollouts for {resource.plural}")
    return kinds[resource.plural]


async def _status(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    async with Client(config) as client:
        resource, name = await target.one(client, arguments.words, "deployments")
        kind = _kind(resource)
        try:
            async with asyncio.timeout(arguments.timeout):
                return await _follow(client, resource, name, config.namespace, kind)
        except TimeoutError:
            print("error: timed out waiting for the rollout", file=sys.stderr)
            return 1


async def _follow(client: Client, resource: Resource, name: str, namespace: str, kind: str) -> int:
    said = ""
    while True:
        obj = await client.get(resource, name, namespace)
        version = obj["metadata"]["resourceVersion"]
        events = client.watch(
            resource, namespace, field_selector=f"metadata.name={name}", resource_version=version
        )
        while True:
            text, complete, failed = progress(kind, obj)
            if failed:
                print(f"error: {text}", file=sys.stderr)
                return 1
            if text != said:
                print(text, flush=True)
                said = text
            if complete:
                return 0
            event = await anext(events, None)
            if event is None:
                break
            if event[0] == "DELETED":
                print(f"error: {name} was deleted", file=sys.stderr)
                return 1
            obj = event[1]


async def _revisions(client: Client, name: str, namespace: str) -> dict[int, dict[str, Any]]:
    """A Deployment's ReplicaSets by revision."""
    deployment = await client.get(resources.get("deployments", "apps"), name, namespace)
    found, _ = await client.list(resources.get("replicasets", "apps"), namespace)
    uid = deployment["metadata"]["uid"]
    revisions = {}
    for candidate in found:
        owners = candidate["metadata"].get("ownerReferences") or ()
        revision = (candidate["metadata"].get("annotations") or {}).get(_REVISION)
        if revision and any(o.get("controller") and o["uid"] == uid for o in owners):
            revisions[int(revision)] = candidate
    return revisions


async def _deployment(client: Client, arguments: argparse.Namespace) -> str:
    resource, name = await target.one(client, arguments.words, "deployments")
    if resource.plural != "deployments":
        raise UsageError(f"only Deployments have revisions here, not {resource.plural}")
    return name


async def _history(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    async with Client(config) as client:
        name = await _deployment(client, arguments)
        revisions = await _revisions(client, name, config.namespace)
    rows = []
    for revision, candidate in sorted(revisions.items()):
        images = ", ".join(c["image"] for c in candidate["spec"]["template"]["spec"]["containers"])
        cause = (candidate["metadata"].get("annotations") or {}).get(_CAUSE, "<none>")
        rows.append((str(revision), str((candidate.get("status") or {}).get("replicas", 0)), images, cause))
    print(f"deployment.apps/{name}")
    print(table(("REVISION", "REPLICAS", "IMAGES", "CHANGE-CAUSE"), rows), end="")
    return 0


async def _undo(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    async with Client(config) as client:
        name = await _deployment(client, arguments)
        revisions = await _revisions(client, name, config.namespace)
        wanted = arguments.to_revision
        if not wanted:
            if len(revisions) < 2:
                raise UsageError(f'no rollout history found for deployment "{name}"')
            wanted = sorted(revisions)[-2]
        if wanted not in revisions:
            raise UsageError(f"unable to find specified revision {wanted} in history")
        template = revisions[wanted]["spec"]["template"]
        template["metadata"].get("labels", {}).pop("pod-template-hash", None)
        # Replaced whole: a merge would keep what the later revision added.
        patch = [{"op": "replace", "path": "/spec/template", "value": template}]
        await client.patch(resources.get("deployments", "apps"), name, patch, config.namespace, kind="json")
    print(f"deployment.apps/{name} rolled back to revision {wanted}")
    return 0


async def _restart(arguments: argparse.Namespace) -> int:
    config = target.config(arguments)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    async with Client(config) as client:
        resource, name = await target.one(client, arguments.words, "deployments")
        if resource.plural not in _RESTARTABLE:
            raise UsageError(f"{resource.plural} cannot be restarted")
        annotations = {"kubectl.kubernetes.io/restartedAt": now}
        body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        await client.patch(resource, name, body, config.namespace, kind="strategic")
    print(f"{resource.singular}.{resource.group}/{name} restarted")
    return 0
