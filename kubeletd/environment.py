"""A container's environment: service links, envFrom, env with `$(NAME)` expansion, and downward API fields."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import quantity
from kubeletd.interfaces import Container, Pod, PodConfigError, PodFacts, Sources

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']*)'\]$")
_UNSET: frozenset[str] = frozenset(("", "None"))


def expand(text: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` replaced, `$$` read as an escaped `$`, references to unknown names kept as they are."""

    def replace(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return env.get(match.group(2), match.group(0))

    return _REFERENCE.sub(replace, text) if "$" in text else text


STATIC_SOURCE = "kubernetes.io/config.source"


def service_links(services: Sequence[Pod]) -> dict[str, str]:
    """The variables that name each Service, as Docker links did: `REDIS_SERVICE_HOST`, `REDIS_PORT_6379_TCP`…"""
    env: dict[str, str] = {}
    for service in services:
        spec = service.get("spec") or {}
        address, ports = spec.get("clusterIP") or "", spec.get("ports") or ()
        if address in _UNSET or not ports:
            continue
        prefix = service["metadata"]["name"].upper().replace("-", "_")
        env[f"{prefix}_SERVICE_HOST"] = address
        env[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        host = f"[{address}]" if ":" in address else address
        for index, port in enumerate(ports):
            number, protocol = port["port"], port.get("protocol", "TCP")
            url = f"{protocol.lower()}://{host}:{number}"
            if port.get("name"):
                env[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(number)
            if index == 0:
                env[f"{prefix}_PORT"] = url
            stem = f"{prefix}_PORT_{number}_{protocol}"
            env[stem] = url
            env[f"{stem}_PROTO"] = protocol.lower()
            env[f"{stem}_PORT"] = str(number)
            env[f"{stem}_ADDR"] = address
    return env


def field_value(pod: Pod, path: str, facts: PodFacts) -> str:
    """A downward API field as text. Raises PodConfigError for one that does not exist."""
    metadata, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.match(path):
        return str((metadata.get(match.group(1)) or {}).get(match.group(2), ""))
    values = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": facts.node_name or spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": facts.host_ip,
        "status.hostIPs": ",".join(facts.host_ips or ((facts.host_ip,) if facts.host_ip else ())),
        "status.podIP": facts.pod_ip,
        "status.podIPs": ",".join(facts.pod_ips or ((facts.pod_ip,) if facts.pod_ip else ())),
    }
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = metadata.get(path.removeprefix("metadata.")) or {}
        return "\n".join(f"{key}={_quoted(pairs[key])}" for key in sorted(pairs))
    if path not in values:
        raise PodConfigError(f"unsupported fieldPath: {path}")
    return str(values[path])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def resource_value(pod: Pod, selector: Mapping[str, Any], container: str, facts: PodFacts) -> str:
    """A resourceFieldRef as text, in units of its divisor, rounded up; without a limit the node's allocatable."""
    name = selector.get("containerName") or container
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    found = next((c for c in containers if c["name"] == name), None)
    if found is None:
        raise PodConfigError(f"container {name} not found")
    kind, _, resource = selector["resource"].partition(".")
    amounts = (found.get("resources") or {}).get(kind) or {}
    amount = amounts.get(resource)
    if amount is None and kind == "limits":
        amount = (facts.allocatable or {}).get(resource)
    amount = amount if amount is not None else "0"
    divisor = selector.get("divisor") or "1"
    if quantity.to_milli(divisor) == 0:
        divisor = "1"
    if resource == "cpu":
        return str(-(-quantity.to_milli(amount) // quantity.to_milli(divisor)))
    return str(-(-quantity.to_int(amount) // quantity.to_int(divisor)))


def references(container: Container) -> set[tuple[str, str]]:
    """The (kind, name) of each ConfigMap and Secret the container's environment reads."""
    found: set[tuple[str, str]] = set()
    for source in container.get("envFrom") or ():
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if field in source:
                found.add((kind, source[field]["name"]))
    for variable in container.get("env") or ():
        value_from = variable.get("valueFrom") or {}
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if field in value_from:
                found.add((kind, value_from[field]["name"]))
    return found


def text_of(kind: str, obj: Pod, key: str) -> str | None:
    """The value of one key of a ConfigMap or Secret, None where there is none."""
    data = obj.get("data") or {}
    if key in data:
        if kind == "Secret":
            return base64.b64decode(data[key]).decode(errors="surrogateescape")
        return str(data[key])
    binary = obj.get("binaryData") or {}
    if kind == "ConfigMap" and key in binary:
        return base64.b64decode(binary[key]).decode(errors="surrogateescape")
    return None


def build(
    pod: Pod,
    container: Container,
    objects: Mapping[tuple[str, str], Pod | None],
    links: Mapping[str, str],
    facts: PodFacts,
) -> list[tuple[str, str]]:
    """The container's variables in order. `objects` are those that `references` names. Raises PodConfigError."""
    env: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        _from_all(source, objects, env)
    for variable in container.get("env") or ():
        name = variable["name"]
        if value_from := variable.get("valueFrom"):
            value = _from_one(pod, container, value_from, objects, facts)
            if value is not None:
                env[name] = value
        else:
            env[name] = expand(variable.get("value", ""), {**links, **env})
    merged = [(name, value) for name, value in links.items() if name not in env]
    return [*merged, *env.items()]


def _from_all(
    source: Mapping[str, Any], objects: Mapping[tuple[str, str], Pod | None], env: dict[str, str]
) -> None:
    for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
        reference = source.get(field)
        if reference is None:
            continue
        obj = objects.get((kind, reference["name"]))
        if obj is None:
            if reference.get("optional"):
                continue
            raise PodConfigError(f'{kind.lower()} "{reference["name"]}" not found')
        for key in sorted(obj.get("data") or {}):
            name = source.get("prefix", "") + key
            # A key that cannot be a variable's name is left out, the others are taken.
            if name and "=" not in name and name.isprintable():
                env[name] = text_of(kind, obj, key) or ""


def _from_one(
    pod: Pod,
    container: Container,
    source: Mapping[str, Any],
    objects: Mapping[tuple[str, str], Pod | None],
    facts: PodFacts,
) -> str | None:
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"], facts)
    if "resourceFieldRef" in source:
        return resource_value(pod, source["resourceFieldRef"], container["name"], facts)
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        reference = source.get(field)
        if reference is None:
            continue
        obj = objects.get((kind, reference["name"]))
        optional = bool(reference.get("optional"))
        if obj is None:
            if optional:
                return None
            raise PodConfigError(f'{kind.lower()} "{reference["name"]}" not found')
        value = text_of(kind, obj, reference["key"])
        if value is None and not optional:
            place = f"{pod['metadata']['namespace']}/{reference['name']}"
            raise PodConfigError(f"couldn't find key {reference['key']} in {kind} {place}")
        return value
    raise PodConfigError(f"unsupported source of an environment variable: {', '.join(source)}")


async def resolve(pod: Pod, container: Container, sources: Sources, facts: PodFacts) -> list[tuple[str, str]]:
    """The container's variables, with what they refer to read through `sources`. Raises PodConfigError."""
    namespace = pod["metadata"]["namespace"]
    objects = {
        (kind, name): await sources.get(kind, namespace, name)  # type: ignore[arg-type]
        for kind, name in sorted(references(container))
    }
    if (pod["metadata"].get("annotations") or {}).get(STATIC_SOURCE) == "file":
        # A static pod starts without the API server, and is the same whether it is there or not.
        return build(pod, container, objects, {}, facts)
    # The API server's own Service is always linked, the others of the namespace unless the pod says no.
    links = service_links(
        [s for s in await sources.services("default") if s["metadata"]["name"] == "kubernetes"]
    )
    if pod["spec"].get("enableServiceLinks") is not False:
        links.update(service_links(await sources.services(namespace)))
    return build(pod, container, objects, links, facts)
