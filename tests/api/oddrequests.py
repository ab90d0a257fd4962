"""Requests that are nearly right, for every endpoint: valid objects with spoiled leaves, odd patches and queries.

All is drawn from one seeded `random.Random`, so a request that breaks something is found again by its seed.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlencode

import yaml
from apiclient import APPLY, JSON_PATCH, MERGE, STRATEGIC
from every_kind import Object, example

from apimachinery import resources, schema
from apimachinery.resources import Resource
from apimachinery.schema import Schema

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"

STRINGS = (
    "", " ", "a", "x" * 70, "x" * 300, "None", "nil", "\x00", "é", "\U0001f600", "\ud800", "a b", "A_b",
    "-", ".", "..", "/", "//", "a/b", "a/b/c", "/a", "../a", "*", "*.a", "%", "100%", "0%", "-5%",
    "1e999%", "0", "-1", "1", "1.5", "80", "99999999999999999999", "1e3", "1e-3", "1E", "100m", "1Gi",
    "1.5Gi", "0.5n", "-1Gi", "1e1000000000", "Ki", "+1", "NaN", "Infinity", "10.0.0.1", "10.0.0.300",
    "::1", "10.0.0.0/8", "10.0.0.0/99", "::/0", "fe80::1%eth0", "010.1.1.1", "2024-01-01T00:00:00Z",
    "2024-01-01T00:00:00.123456Z", "2024-13-45T99:99:99Z", "9999-12-31T23:59:59Z", "0000-00-00T00:00:00Z",
    "2024-01-01T00:00:00+99:99", "a=b", "a in (b,c)", "!a", "a,,b", "a==", "(", "a in (", ">", "[", "$(A)",
    "{{x}}", "TCP", "tcp", "Always", "Never", "Exists", "In", "NotIn", "Gt", "DoesNotExist",
    "RollingUpdate", "Localhost", "ClusterIP", "LoadBalancer", "NodePort", "ExternalName", "ClientIP", "Local",
    "Foreground", "Orphan", "metadata.name", "metadata.labels['a']", "metadata.annotations['", "status.podIP", "v1",
    "apps/v1", "Pod", "Node", "* * * * *", "*/0 * * * *", "60 * * * *", "0 0 31 2 *",
    "@every 1h", "TZ=UTC * * * * *", "UTC", "Europe/Berlin", "../../etc/passwd", "MQ==", "MQ", "!!!",
    "kubernetes.io/tls", "kubernetes.io/dockerconfigjson", "true", "false",
    "5", "[5]", "{}", '[{"a":1}]', '{"spec":5}', "{", "restricted", "baseline:v1.2", "self.size > 1",
    "object.metadata.name == ", "1/0", "[1][2]", "object.spec.nosuch", "variables.v", "'a'.matches('[')",
    "requests.cpu", "limits.memory", "hugepages-2Mi", "example.com/gpu", "kubernetes.io/x", "cpu",
    "memory", "pods", "foregroundDeletion", "orphan", "kubernetes", "system:masters", "https://", "https://a:b/",
    "https://x/?y#z", "http://a", ".spec.size", ".status.size", ".metadata.name", ".spec['a']", "0-3,5", "5-1", "1-,",
    "0-99999999999",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 7, 30, 80, 443, 600, 1000, 65535, 65536, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63,
    -(2**63) - 1, 2**64, 10**30, 0.5, 1.0, -0.0, 1e308, 1e-320,
)  # fmt: skip
LABEL_KEYS = (
    "app", "a", "x/y", "", "-", "a" * 64, "kubernetes.io/hostname", "é", "a/b/c",
    "autoscaling.alpha.kubernetes.io/metrics", "autoscaling.alpha.kubernetes.io/behavior",
    "kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision",
    "controller.kubernetes.io/pod-deletion-cost", "kubernetes.io/config.mirror", "batch.kubernetes.io/job-tracking",
    "service.kubernetes.io/topology-mode", "volume.beta.kubernetes.io/storage-class",
    "pod-security.kubernetes.io/enforce", "kubernetes.io/service-account.name", "api-approved.kubernetes.io",
    "endpoints.kubernetes.io/over-capacity", "rbac.authorization.kubernetes.io/autoupdate",
    "container.apparmor.security.beta.kubernetes.io/c", "scheduler.alpha.kubernetes.io/defaultTolerations",
)  # fmt: skip
_MAX_DEPTH = 7
#: What mostly stands in fields whose form is checked before anything else is, by format or type.
_LIKELY: dict[str, tuple[Any, ...]] = {
    "int32": (0, 1, 2, -1, 80, 65535, 65536, 2**31 - 1, -(2**31)),
    "int64": (0, 1, 2, -1, 600, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)),
    "quantity": ("0", "1", "-1", "100m", "1Gi", "1.5Gi", "0.5n", "1e3", 2, "99999999999999999999", "1e300"),
    "date-time": ("2024-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-01-01T00:00:00+05:00", None),
    "micro-time": ("2024-01-01T00:00:00.123456Z", None),
    "byte": ("", "MQ==", "eyJhIjoxfQ==", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="),
    "int-or-string": (0, 1, -1, 80, 65536, "web", "25%", "200%", "-1%", "", "0"),
}


@dataclass
class OddRequest:
    method: str
    path: str
    body: bytes | None = None
    content: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = (self.body or b"").decode(errors="replace")
        return f"{self.method} {self.path} {self.headers} {self.content} {shown}"


class OddRequests:
    """Draws requests within `namespace`. `extra` are custom resources beside the built-in ones, by example object."""

    def __init__(self, random: Random, namespace: str, extra: dict[Resource, Object] | None = None) -> None:
        self._random = random
        self._namespace = namespace
        self._extra = extra or {}
        self._resources = [*resources.BUILTIN, *self._extra]

    # Values

    def scalar(self) -> Any:
        chance = self._random.random()
        if chance < 0.5:
            return self._random.choice(STRINGS)
        if chance < 0.8:
            return self._random.choice(NUMBERS)
        return self._random.choice((None, True, False, {}, [], [None], {"": None}, [{}], {"a": {"b": []}}))

    def value(self, node: Schema | None, depth: int = 0) -> Any:
        """Something of a schema, or nearly."""
        random = self._random
        if node is None or depth > _MAX_DEPTH or random.random() < 0.01:
            return self.scalar()
        fields = node.fields
        if fields:
            count = min(len(fields), random.choice((0, 1, 2, 3, 3, 5)))
            wanted = set(random.sample(sorted(fields), count)) | {
                name for name in node.required if random.random() < 0.9
            }
            return {name: self.value(fields.get(name), depth + 1) for name in sorted(wanted)}
        if node.type == "array":
            return [self.value(node.items, depth + 1) for _ in range(random.choice((0, 1, 1, 2, 3)))]
        if node.type == "object":
            keys = (random.choice((*LABEL_KEYS, *STRINGS)) for _ in range(random.choice((0, 1, 2))))
            return {key: self.value(node.values, depth + 1) for key in keys}
        likely = _LIKELY.get(node.format or node.type)
        if likely is not None and random.random() < 0.9:
            return random.choice(likely)
        if node.type == "integer":
            return random.choice(NUMBERS[:21])
        if node.type == "boolean":
            return random.random() < 0.5
        if node.type == "string":
            return random.choice(STRINGS)
        return self.scalar()

    def spoiled(self, obj: Object, node: Schema | None) -> Object:
        """A copy with a few places changed, most of them a leaf, some added from the schema."""
        obj = copy.deepcopy(obj)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 2, 3))):
            self._spoil(obj, node)
        return obj

    def _spoil(self, obj: Any, node: Schema | None) -> None:
        random = self._random
        while True:
            if isinstance(obj, dict):
                fields = node.fields if node is not None else {}
                if not obj or random.random() < 0.25:
                    names = sorted(fields) or [random.choice((*LABEL_KEYS, *STRINGS))]
                    name = random.choice(names)
                    child = fields.get(name) or (node.values if node is not None else None)
                    obj[name] = self.value(child, 1)
                    return
                keys = sorted(obj)
                if "kind" in obj and "metadata" in obj and random.random() < 0.75:
                    # Of a whole object, what is its own is worth more than what all have.
                    keys = [key for key in keys if key not in ("apiVersion", "kind", "metadata")] or keys
                key: Any = random.choice(keys)
                child = fields.get(key) or (node.values if node is not None else None)
            else:
                key = random.randrange(len(obj))
                child = node.items if node is not None else None
                if random.random() < 0.15:
                    obj.append(copy.deepcopy(obj[key]))
                    return
            current = obj[key]
            if isinstance(current, (dict, list)) and current and random.random() < 0.85:
                obj, node = current, child
                continue
            if random.random() < 0.15:
                del obj[key]
            else:
                obj[key] = (
                    self.value(child, 3) if child is not None and random.random() < 0.85 else self.scalar()
                )
            return

    # Bodies

    def _patch(self, current: Object, node: Schema | None) -> tuple[Any, str]:
        random = self._random
        content = random.choice((MERGE, MERGE, STRATEGIC, STRATEGIC, JSON_PATCH, JSON_PATCH, APPLY, APPLY))
        if content == JSON_PATCH:
            return [self._operation(current) for _ in range(random.choice((0, 1, 1, 2, 3)))], content
        body = self.spoiled(current, node)
        if content != APPLY and random.random() < 0.7:
            kept = random.sample(sorted(body), min(len(body), random.choice((0, 1, 2))))
            body = {key: body[key] for key in kept}
        if content == STRATEGIC:
            for _ in range(random.choice((0, 1, 2))):
                self._directive(body)
        return body, content

    def _operation(self, current: Object) -> Any:
        random = self._random
        steps: list[str] = []
        at: Any = current
        while isinstance(at, (dict, list)) and at and random.random() < 0.8:
            step = random.choice(sorted(at)) if isinstance(at, dict) else random.randrange(len(at))
            at = at[step]
            steps.append(str(step).replace("~", "~0").replace("/", "~1"))
        if random.random() < 0.3:
            steps.append(random.choice(("-", "0", "99", "-1", "nosuch", "~2", "", "01", "1e3")))
        operation: Object = {
            "op": random.choice(("add", "replace", "remove", "test", "copy", "move")),
            "path": "".join(f"/{step}" for step in steps),
        }
        if operation["op"] in ("copy", "move"):
            operation["from"] = random.choice(
                ("/metadata", "/spec", "/metadata/labels", "", "/spec/x", "spec")
            )
        elif operation["op"] != "remove":
            operation["value"] = self.scalar()
        for key in ("op", "path", "value"):
            if random.random() < 0.04:
                operation[key] = self.scalar()
        return operation if random.random() < 0.97 else self.scalar()

    def _directive(self, body: Any) -> None:
        """Put one of strategic merge's own keys somewhere."""
        random = self._random
        places = [body]
        for place in places:
            inner = place.values() if isinstance(place, dict) else place
            places.extend(item for item in inner if isinstance(item, (dict, list)))
        place = random.choice(places)
        directive = {"$patch": random.choice(("delete", "replace", "merge", "nosuch", 1, None))}
        if isinstance(place, list):
            place.append({**directive, **({"name": "c"} if random.random() < 0.5 else {})})
            return
        key = random.choice(sorted(place) or ["a"])
        name, value = random.choice(
            (
                ("$patch", directive["$patch"]),
                (f"$deleteFromPrimitiveList/{key}", self.scalar()),
                (
                    f"$setElementOrder/{key}",
                    random.choice(([{"name": "c"}], ["a"], self.scalar(), [self.scalar()])),
                ),
                ("$retainKeys", random.choice(([key], self.scalar()))),
            )
        )
        place[name] = value

    def _encoded(self, body: Any, content: str) -> tuple[bytes, str]:
        random = self._random
        chance = random.random()
        text = json.dumps(body)
        if chance < 0.02:
            return text[: random.randrange(len(text) + 1)].encode(), content
        if chance < 0.04:
            return random.randbytes(random.randrange(40)), random.choice((content, PROTOBUF, YAML))
        if chance < 0.05:
            return b"k8s\x00" + random.randbytes(random.randrange(60)), PROTOBUF
        if chance < 0.06:
            return random.choice((b"", b"null", b"[]", b'"a"', b"1", b"{" * 2000, b"[" * 100000)), content
        if chance < 0.07:
            return text.encode("utf-16"), content
        if chance < 0.1 and content == JSON:
            try:
                return yaml.safe_dump(body).encode(errors="surrogatepass"), YAML
            except (yaml.YAMLError, UnicodeEncodeError):
                return text.encode(), YAML
        if chance < 0.12:
            return text.encode(), random.choice(
                ("", "text/plain", "application/json; charset=x", MERGE, JSON, APPLY)
            )
        return text.encode(), content

    # Requests

    def query(self, method: str, *, watch: bool = False) -> str:
        random = self._random
        if method in ("POST", "PUT", "PATCH"):
            known = ("fieldManager", "fieldValidation", "dryRun", "force", "pretty")
        elif method == "DELETE":
            known = (
                "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "dryRun", "labelSelector",
                "fieldSelector", "resourceVersion", "limit", "continue",
            )  # fmt: skip
        else:
            known = (
                "labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch",
                "timeoutSeconds", "allowWatchBookmarks", "sendInitialEvents", "includeObject", "pretty", "watch",
                "tailLines", "limitBytes", "sinceSeconds", "sinceTime", "container", "follow", "previous", "stream",
                "command", "ports", "stdin", "tty",
            )  # fmt: skip
        wanted = {
            "fieldValidation": ("Strict", "Warn", "Ignore"), "dryRun": ("All",), "force": ("true", "false"),
            "resourceVersionMatch": ("Exact", "NotOlderThan"), "propagationPolicy": ("Foreground", "Background"),
            "limit": ("1", "2"), "resourceVersion": ("0", "1", "5"), "gracePeriodSeconds": ("0", "5"),
            "fieldManager": ("me",), "includeObject": ("None", "Object"), "sendInitialEvents": ("true",),
            "fieldSelector": ("metadata.name=x", "spec.nodeName!=a", "status.phase=Running", "a=b,c!=d\\,e"),
            "labelSelector": ("app=x", "app in (x,y),!z", "app notin (x)", "a>1"),
        }  # fmt: skip
        pairs: list[tuple[str, str]] = []
        for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
            key = random.choice(known)
            values = wanted.get(key, ())
            text = random.choice(values) if values and random.random() < 0.6 else random.choice(STRINGS)
            if key == "watch" or (key == "follow" and text):
                continue
            pairs.append((key, text.encode(errors="replace").decode()))
        if watch:
            pairs = [pair for pair in pairs if pair[0] != "timeoutSeconds"]
            pairs += [("watch", "true"), ("timeoutSeconds", "1")]
        return "?" + urlencode(pairs) if pairs else ""

    def _headers(self) -> dict[str, str]:
        random = self._random
        if random.random() < 0.88:
            return {}
        return random.choice(
            (
                {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"},
                {"Accept": "application/json;as=Table;v=v1beta1;g=meta.k8s.io"},
                {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"},
                {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"},
                {"Accept": YAML},
                {"Accept": f"{PROTOBUF},application/json"},
                {
                    "Accept": random.choice(
                        (PROTOBUF, "application/cbor, */*;q=0.1", ";;;=,,q=x", "text/html")
                    )
                },
                {"Accept-Encoding": "gzip"},
                {"If-None-Match": '"x"'},
                {"Impersonate-User": "bob"},
                {"Impersonate-User": "bob", "Impersonate-Extra-a%zz": "b"},
                {"Impersonate-User": "system:serviceaccount:a:b"},
                {"User-Agent": "x" * 500},
                {"User-Agent": "é/ü".encode().decode("latin-1")},
            )
        )

    def draw(self) -> OddRequest:
        """One request."""
        random = self._random
        resource = random.choice(self._resources)
        node: Schema | None = schema.for_resource(resource)
        current = self._example(resource)
        name = current["metadata"]["name"]
        sub = None
        if resource.subresources and random.random() < 0.4:
            sub = random.choice(resource.subresources)
            if sub.kind:
                node = schema.for_kind(sub.api_version or resource.api_version, sub.kind)
                current = {
                    "apiVersion": sub.api_version,
                    "kind": sub.kind,
                    "metadata": current["metadata"],
                    **({"spec": {"replicas": 2}} if sub.kind == "Scale" else {}),
                    **({"target": {"kind": "Node", "name": "n"}} if sub.kind == "Binding" else {}),
                }
        subpath = sub.name if sub is not None else ""
        space = (
            self._namespace if random.random() < 0.97 else random.choice(("", "default", "nosuch", "a%2Fb"))
        )
        if sub is not None:
            verbs = {"create": "POST", "update": "PUT", "patch": "PATCH", "get": "GET", "delete": "DELETE"}
            right = [verbs[verb] for verb in sub.verbs]
            methods = right if random.random() < 0.95 else list(verbs.values())
        else:
            methods = [*["POST"] * 4, *["PUT"] * 4, *["PATCH"] * 6, "GET", "GET", "DELETE", "DELETE"]
        if resource.virtual:
            methods = ["POST", "POST", "POST", "GET"]
        method = random.choice(methods)
        if subpath == "proxy" and random.random() < 0.8:
            method, subpath = "GET", "status"
        named = sub is not None or not (
            method == "POST" or (method in ("GET", "DELETE") and random.random() < 0.5)
        )
        if random.random() < 0.02:
            named = not named
        if named and random.random() < 0.05:
            name = random.choice(
                ("nosuch", "A_b", "%00", "a%2Fb", "..", "%ff", "x" * 300, "a b".replace(" ", "%20"))
            )
        if method == "DELETE" and not named and resource.kind in ("Namespace", "Node", "FlowSchema"):
            named = True
        path = resource.path(space, name if named else "", subpath if named else "")
        watch = method == "GET" and not named and not resource.virtual and random.random() < 0.1
        request = OddRequest(method, path + self.query(method, watch=watch), headers=self._headers())
        if method == "PATCH":
            body, content = self._patch(current, node)
            if content == APPLY and "fieldManager" not in request.path:
                request.path += (
                    ("&" if "?" in request.path else "?") + "fieldManager=" + random.choice(("a", "b"))
                )
            request.body, request.content = self._encoded(body, content)
        elif method in ("POST", "PUT"):
            if method == "POST" and sub is None and random.random() < 0.6:
                # Most examples exist already.
                current["metadata"]["name"] = f"x{random.randrange(1000)}"
            request.body, request.content = self._encoded(self.spoiled(current, node), JSON)
        elif method == "DELETE" and random.random() < 0.5:
            options = schema.for_kind("v1", "DeleteOptions")
            request.body, request.content = self._encoded(self.value(options), JSON)
        return request

    def _example(self, resource: Resource) -> Object:
        if resource in self._extra:
            return copy.deepcopy(self._extra[resource])
        return example(resource, namespace=self._namespace)
