"""What the files of ConfigMap, Secret, downward API and projected volumes hold. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import pem, selectors
from kubeletd.environment import field_value, resource_value
from kubeletd.interfaces import Pod, PodConfigError, PodFacts

DEFAULT_MODE = 0o644
_NO_SECRET_KEY = "references non-existent secret"


class ProjectionError(Exception):
    """What a volume shows cannot be put together; str() is Kubernetes's message."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume: its bytes, permission bits, and owner (-1: the agent's user)."""

    data: bytes
    mode: int = DEFAULT_MODE
    owner: int = -1


Payload = dict[str, File]  # by path within the volume


def _contents(kind: str, obj: Pod) -> dict[str, bytes]:
    if kind == "Secret":
        return {key: base64.b64decode(value or "") for key, value in (obj.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    return {**text, **binary}


def keyed(
    kind: str,
    name: str,
    obj: Pod | None,
    items: Sequence[Mapping[str, Any]],
    mode: int,
    optional: bool,
) -> Payload:
    """The files of a ConfigMap or Secret: every key, or only `items` under their paths."""
    if obj is None:
        if optional:
            return {}
        raise ProjectionError(f'{kind.lower()} "{name}" not found')
    contents = _contents(kind, obj)
    if not items:
        return {key: File(data, mode) for key, data in contents.items()}
    payload: Payload = {}
    for item in items:
        if item["key"] not in contents:
            if optional:
                continue
            words = "configmap references non-existent config" if kind == "ConfigMap" else _NO_SECRET_KEY
            raise ProjectionError(f"{words} key: {item['key']}")
        payload[item["path"]] = File(contents[item["key"]], _mode(item, mode))
    return payload


def _mode(item: Mapping[str, Any], default: int) -> int:
    return int(item["mode"]) if item.get("mode") is not None else default


def downward(pod: Pod, items: Sequence[Mapping[str, Any]], mode: int, facts: PodFacts) -> Payload:
    """The files of a downwardAPI volume or projection."""
    payload: Payload = {}
    for item in items:
        try:
            if "fieldRef" in item:
                text = field_value(pod, item["fieldRef"]["fieldPath"], facts)
            else:
                selector = item["resourceFieldRef"]
                text = resource_value(pod, selector, selector.get("containerName", ""), facts)
        except PodConfigError as error:
            raise ProjectionError(error.message) from error
        payload[item["path"]] = File(text.encode(), _mode(item, mode))
    return payload


def selects(source: Mapping[str, Any], bundle: Mapping[str, Any]) -> bool:
    """Whether a clusterTrustBundle source is about that object. Without a labelSelector it is about none."""
    if source.get("name"):
        return bool(bundle["metadata"]["name"] == source["name"])
    selector = source.get("labelSelector")
    if selector is None or bundle["spec"].get("signerName") != source.get("signerName"):
        return False
    return selectors.from_label_selector(selector).matches(bundle["metadata"].get("labels") or {})


def trust_anchors(source: Mapping[str, Any], bundles: Sequence[Mapping[str, Any]]) -> bytes:
    """The file of a clusterTrustBundle source, of the objects it selects: each certificate once, and nothing else."""
    if not bundles and not source.get("optional"):
        if source.get("name"):
            text = f'clustertrustbundle.certificates.k8s.io "{source["name"]}" not found'
            raise ProjectionError(f"while getting ClusterTrustBundle: {text}")
        raise ProjectionError("combination of signerName and labelSelector matched zero ClusterTrustBundles")
    found = {block.data for bundle in bundles for block in pem.blocks(bundle["spec"]["trustBundle"])}
    # Any order that stays is as good as another.
    return "".join(pem.encode("CERTIFICATE", data) for data in sorted(found)).encode()


def fs_group(pod: Pod) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return int(group) if group is not None else None


def common_user(pod: Pod) -> int | None:
    """The user every container runs as, None where they differ or do not say."""
    spec = pod["spec"]
    default = (spec.get("securityContext") or {}).get("runAsUser")
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    users = {(c.get("securityContext") or {}).get("runAsUser", default) for c in containers}
    user = users.pop() if len(users) == 1 else None
    return int(user) if user is not None else None


def token_mode(pod: Pod, default: int) -> int:
    """A token is the owner's alone where its owner can be told (KEP-1205)."""
    return 0o600 if fs_group(pod) is not None or common_user(pod) is not None else default
