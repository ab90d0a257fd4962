"""Write apimachinery/data/schema-v1.36.json.gz from the JSON schemas in the package `kubernetes-validate`.

    python tools/compile_schema.py [OUTPUT]

The output is gzip of one line a definition: `name<TAB>JSON`. The JSON is OpenAPI's: prose dropped, `null` types
dropped, references shortened to the definition's name (`{"$ref": "io.k8s.api.core.v1.PodSpec"}`), and what the
source package cannot say added from `KNOWN` below. Only what the resources of the table reach is kept.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from apimachinery import resources  # noqa: E402

VERSION = "v1.36"
SOURCE = f"kubernetes-json-schema/{VERSION}.0-local/_definitions.json"

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

#: Kinds served beside the table's own.
EXTRA = {
    *(
        _META + kind
        for kind in ("APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "DeleteOptions")
    ),
    *(_META + kind for kind in ("Status", "WatchEvent", "Patch", "Condition")),
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.apimachinery.pkg.version.Info",
}

#: Definitions whose Go types have their own JSON form.
KNOWN: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string", "format": "quantity"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "type": "string",
        "format": "int-or-string",
        "x-kubernetes-int-or-string": True,
    },
    _META + "Time": {"type": "string", "format": "date-time"},
    _META + "MicroTime": {"type": "string", "format": "micro-time"},
    _META + "FieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    _META + "Patch": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    },
    **{
        _EXTENSIONS + kind: {"x-kubernetes-preserve-unknown-fields": True}
        for kind in (
            "JSON",
            "JSONSchemaPropsOrArray",
            "JSONSchemaPropsOrBool",
            "JSONSchemaPropsOrStringArray",
        )
    },
}

_METRICS = "io.k8s.metrics.pkg.apis.metrics.v1beta1."


def _metrics(kind: str, **properties: Any) -> dict[str, dict[str, Any]]:
    """The definitions of a kind of metrics.k8s.io and of its list."""

    def definition(kind: str, meta: str, required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
        strings = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
        return {
            "type": "object",
            "required": required,
            "properties": {**strings, "metadata": {"$ref": _META + meta}, **properties},
            "x-kubernetes-group-version-kind": [
                {"group": "metrics.k8s.io", "kind": kind, "version": "v1beta1"}
            ],
        }

    measured = {"timestamp": {"$ref": _META + "Time"}, "window": {"type": "string"}, **properties}
    items = {"items": {"type": "array", "items": {"$ref": _METRICS + kind}}}
    return {
        _METRICS + kind: definition(kind, "ObjectMeta", ["timestamp", "window", *properties], measured),
        _METRICS + kind + "List": definition(kind + "List", "ListMeta", ["items"], items),
    }


_USAGE = {"type": "object", "additionalProperties": {"$ref": "io.k8s.apimachinery.pkg.api.resource.Quantity"}}
_CONTAINERS = {
    "type": "array",
    "items": {"$ref": _METRICS + "ContainerMetrics"},
    "x-kubernetes-list-type": "atomic",
}

#: The resource metrics API, which Kubernetes leaves to a server of its own.
METRICS: dict[str, dict[str, Any]] = {
    **_metrics("NodeMetrics", usage=_USAGE),
    **_metrics("PodMetrics", containers=_CONTAINERS),
    _METRICS + "ContainerMetrics": {
        "type": "object",
        "required": ["name", "usage"],
        "properties": {"name": {"type": "string"}, "usage": _USAGE},
    },
}

KEPT = (
    "type",
    "format",
    "required",
    "items",
    "additionalProperties",
    "properties",
    "$ref",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-patch-strategy",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-group-version-kind",
    "x-kubernetes-unions",
)


def compact(source: dict[str, Any]) -> dict[str, Any]:
    """One schema without prose, in the form described above."""
    result: dict[str, Any] = {}
    for key in KEPT:
        value = source.get(key)
        if value is None:
            continue
        if key == "type":
            if isinstance(value, list):
                value = next(t for t in value if t != "null")
        elif key == "$ref":
            value = value.rpartition("/")[2]
        elif key in ("items", "additionalProperties"):
            value = compact(value) if isinstance(value, dict) else {}
        elif key == "properties":
            value = {name: compact(schema) for name, schema in value.items()}
        result[key] = value
    return result


def references(schema: dict[str, Any]) -> set[str]:
    """The names of the definitions a compact schema uses."""
    found = {schema["$ref"]} if "$ref" in schema else set()
    for key in ("items", "additionalProperties"):
        if key in schema:
            found |= references(schema[key])
    for child in schema.get("properties", {}).values():
        found |= references(child)
    return found


def wanted_kinds() -> set[tuple[str, str]]:
    kinds = set()
    for resource in resources.BUILTIN:
        kinds |= {(resource.api_version, resource.kind), (resource.api_version, resource.list_kind)}
        kinds |= {(s.api_version, s.kind) for s in resource.subresources if s.kind}
    return kinds


def compile_definitions(source: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All definitions that are needed, by name."""
    compacted = {name: KNOWN.get(name) or compact(schema) for name, schema in source.items()} | METRICS
    kinds = wanted_kinds()
    todo = EXTRA | METRICS.keys()
    for name, schema in compacted.items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            api_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            if (api_version, gvk["kind"]) in kinds:
                todo.add(name)
    result: dict[str, dict[str, Any]] = {}
    while todo:
        name = todo.pop()
        result[name] = compacted[name]
        todo |= references(compacted[name]) - result.keys()
    return dict(sorted(result.items()))


def main(arguments: list[str]) -> None:
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        sys.exit("install kubernetes-validate first (pip install -e '.[dev]')")
    source = json.loads((Path(spec.origin).parent / SOURCE).read_text())["$defs"]
    definitions = compile_definitions(source)
    lines = [f"{name}\t{json.dumps(schema, separators=(',', ':'))}" for name, schema in definitions.items()]
    output = Path(arguments[0]) if arguments else ROOT / f"apimachinery/data/schema-{VERSION}.json.gz"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))
    print(f"{output}: {len(definitions)} definitions, {output.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
