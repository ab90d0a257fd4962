"""Area apimachinery: schemas of custom resources are published in OpenAPI, for kubectl to check and to explain by."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import pytest
from apiclient import Api
from registrations import Kind, Registered, eventually, unique, version

Object = dict[str, Any]

FOO: Object = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "description": "Specification of Foo",
            "type": "object",
            "properties": {
                "bars": {
                    "description": "List of Bars and their specs.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"description": "Name of Bar.", "type": "string"},
                            "age": {"description": "Age of Bar.", "type": "string"},
                            "feeling": {"type": "string", "enum": ["Great", "Down"]},
                            "bazs": {
                                "description": "List of Bazs.",
                                "type": "array",
                                "items": {"type": "string"},
                            },
                        },
                    },
                }
            },
        }
    },
}
WALDO: Object = {
    "description": "Waldo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "description": "Specification of Waldo",
            "type": "object",
            "properties": {"dummy": {"description": "Dummy property.", "type": "object"}},
        }
    },
}
OPEN = {"x-kubernetes-preserve-unknown-fields": True}


def name_of(kind: Kind, version: str = "v1") -> str:
    return f"{'.'.join(reversed(kind.group.split('.')))}.{version}.{kind.kind}"


def published(api: Api, name: str) -> Object | None:
    """A definition of OpenAPI v2 without what every kind has."""
    found = api.get("/openapi/v2")["definitions"].get(name)
    if found is not None:
        for key in ("apiVersion", "kind", "metadata"):
            (found.get("properties") or {}).pop(key, None)
        found.pop("x-kubernetes-group-version-kind")
    return found


def in_v3(api: Api, kind: Kind, version: str = "v1") -> Object | None:
    document = api.get(f"/openapi/v3/apis/{kind.group}/{version}")
    return document["components"]["schemas"].get(name_of(kind, version)) if document.code == 200 else None


class Kubectl:
    """kubectl on PATH with the server's kubeconfig; `run` gives its output, `fails` its complaint."""

    def __init__(self, api: Api, namespace: str, cache: str) -> None:
        program = shutil.which("kubectl")
        if program is None:
            pytest.skip("kubectl is not installed")
        self._command = [program, f"--kubeconfig={api.kubeconfig}", f"--namespace={namespace}"]
        self._environment = {**os.environ, "KUBECACHEDIR": cache}

    def _call(self, *arguments: str, body: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments],
            input=body,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run(self, *arguments: str, body: str = "") -> str:
        done = self._call(*arguments, body=body)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, *arguments: str, body: str = "") -> str:
        done = self._call(*arguments, body=body)
        assert done.returncode != 0, done.stdout
        return done.stderr


@pytest.fixture
def kubectl(api: Api, namespace: str, tmp_path: Any) -> Kubectl:
    return Kubectl(api, namespace, str(tmp_path))


def words(text: str) -> str:
    return " ".join(text.split())


def body(kind: Kind, rest: str) -> str:
    head = f'"kind":"{kind.kind}","apiVersion":"{kind.group}/v1","metadata":{{"name":"test"}}'
    return f"{{{head},{rest}}}"


def accepts(kubectl: Kubectl, kind: Kind, rest: str) -> None:
    """create and apply of an object, each followed by a deletion."""
    for verb in ("create", "apply"):
        kubectl.run(verb, "-f", "-", body=body(kind, rest))
        kubectl.run("delete", f"{kind.plural}.{kind.group}", "test", "--wait=false")


def test_custom_resource_openapi_publish_with_validation_schema(
    api: Api, registered: Registered, kubectl: Kubectl
) -> None:
    plural = f"{unique('foo').replace('-', '')}s"
    foos = registered.define(version("v1", FOO), plural=plural)
    eventually(lambda: published(api, name_of(foos)) == FOO)
    accepts(kubectl, foos, '"spec":{"bars":[{"name":"test-bar"}]}')
    for verb in ("create", "apply"):
        bad = body(foos, '"spec":{"bars":[{"name":"test-bar","feeling":"NonExistentValue"}]}')
        assert 'Unsupported value: "NonExistentValue"' in kubectl.fails(verb, "-f", "-", body=bad)
        unknown = kubectl.fails(verb, "-f", "-", body=body(foos, '"spec":{"foo":true}'))
        assert 'unknown field "spec.foo"' in unknown
        missing = kubectl.fails(verb, "-f", "-", body=body(foos, '"spec":{"bars":[{"age":"10"}]}'))
        assert "spec.bars[0].name: Required value" in missing
    whole = words(kubectl.run("explain", plural))
    assert "DESCRIPTION: Foo CRD for Testing FIELDS: apiVersion <string> APIVersion defines" in whole
    assert "spec <Object> Specification of Foo" in whole
    metadata = words(kubectl.run("explain", f"{plural}.metadata"))
    assert "Standard object's metadata" in metadata
    assert "creationTimestamp <string> CreationTimestamp is a timestamp" in metadata
    spec = words(kubectl.run("explain", f"{plural}.spec"))
    assert "DESCRIPTION: Specification of Foo FIELDS: bars <[]Object> List of Bars and their specs" in spec
    bars = words(kubectl.run("explain", f"{plural}.spec.bars"))
    assert "bars <[]Object>" in bars
    assert "DESCRIPTION: List of Bars and their specs" in bars
    assert "bazs <[]string> List of Bazs" in bars
    assert "name <string> -required- Name of Bar" in bars
    assert 'field "bars2" does not exist' in kubectl.fails("explain", f"{plural}.spec.bars2")


def test_custom_resource_openapi_publish_with_x_kubernetes_preserve_unknown_fields_in_object(
    api: Api, registered: Registered, kubectl: Kubectl
) -> None:
    plural = f"{unique('empty').replace('-', '')}s"
    kind = registered.define(version("v1"), plural=plural)
    eventually(lambda: published(api, name_of(kind)) == {"type": "object"})
    accepts(kubectl, kind, '"a":{"b":[{"c":"d"}]}')
    assert "DESCRIPTION: <empty>" in words(kubectl.run("explain", plural))


def test_custom_resource_openapi_publish_with_x_kubernetes_preserve_unknown_fields_at_root(
    api: Api, registered: Registered, kubectl: Kubectl
) -> None:
    plural = f"{unique('root').replace('-', '')}s"
    kind = registered.define(version("v1", {**WALDO, **OPEN}), plural=plural)
    eventually(lambda: published(api, name_of(kind)) == {"type": "object"})
    assert (in_v3(api, kind) or {})["x-kubernetes-preserve-unknown-fields"] is True
    accepts(kubectl, kind, '"a":{"b":[{"c":"d"}]}')
    assert f"KIND: {kind.kind}" in words(kubectl.run("explain", plural))


def test_custom_resource_openapi_publish_with_x_kubernetes_preserve_unknown_fields_in_embedded_object(
    api: Api, registered: Registered, kubectl: Kubectl
) -> None:
    plural = f"{unique('nested').replace('-', '')}s"
    text = "preserve-unknown-properties in nested field for Testing"
    spec = {**WALDO["properties"]["spec"], **OPEN}
    schema = {"description": text, "type": "object", "properties": {"spec": spec}}
    kind = registered.define(version("v1", schema), plural=plural)
    open_spec = {"description": "Specification of Waldo", "type": "object", **OPEN}
    eventually(lambda: published(api, name_of(kind)) == {**schema, "properties": {"spec": open_spec}})
    assert (in_v3(api, kind) or {})["properties"]["spec"] == spec
    accepts(kubectl, kind, '"spec":{"a":null,"b":[{"c":"d"}]}')
    assert f"DESCRIPTION: {text}" in words(kubectl.run("explain", plural))


def test_custom_resource_openapi_publish_varying_groups(api: Api, registered: Registered) -> None:
    foos = registered.define(version("v1", FOO))
    waldos = registered.define(version("v1beta1", WALDO), plural="waldos")
    assert foos.group != waldos.group
    eventually(lambda: published(api, name_of(foos)) == FOO)
    eventually(lambda: published(api, name_of(waldos, "v1beta1")) == WALDO)


def test_custom_resource_openapi_publish_varying_versions(api: Api, registered: Registered) -> None:
    foos = registered.define(version("v2", FOO), version("v3", FOO, storage=False))
    for name in ("v2", "v3"):
        eventually(lambda name=name: published(api, name_of(foos, name)) == FOO)
        assert f"apis/{foos.group}/{name}" in api.get("/openapi/v3")["paths"]


def test_custom_resource_openapi_publish_varying_kinds(api: Api, registered: Registered) -> None:
    foos = registered.define(version("v1", FOO))
    waldos = registered.define(version("v1", WALDO), plural="waldos", group=foos.group)
    eventually(lambda: published(api, name_of(foos)) == FOO)
    eventually(lambda: published(api, name_of(waldos)) == WALDO)
    assert in_v3(api, foos)
    assert in_v3(api, waldos)


def test_custom_resource_openapi_publish_version_rename(api: Api, registered: Registered) -> None:
    foos = registered.define(version("v2", FOO), version("v3", FOO, storage=False))
    eventually(lambda: published(api, name_of(foos, "v3")) == FOO)

    def rename(spec: Object) -> None:
        spec["versions"][1]["name"] = "v4"

    foos.change(rename)
    eventually(lambda: published(api, name_of(foos, "v4")) == FOO)
    assert published(api, name_of(foos, "v3")) is None
    assert published(api, name_of(foos, "v2")) == FOO
    assert f"apis/{foos.group}/v3" not in api.get("/openapi/v3")["paths"]


def test_custom_resource_openapi_publish_stop_serving_version(api: Api, registered: Registered) -> None:
    foos = registered.define(version("v5", FOO), version("v6alpha1", FOO, storage=False))
    eventually(lambda: published(api, name_of(foos, "v6alpha1")) == FOO)

    def stop(spec: Object) -> None:
        spec["versions"][1]["served"] = False

    foos.change(stop)
    eventually(lambda: published(api, name_of(foos, "v6alpha1")) is None)
    assert published(api, name_of(foos, "v5")) == FOO
    assert in_v3(api, foos, "v6alpha1") is None


def test_custom_resource_openapi_publish_takes_away_what_is_deleted(api: Api, registered: Registered) -> None:
    foos = registered.define(version("v1", FOO))
    eventually(lambda: published(api, name_of(foos)) == FOO)
    assert api.delete(foos.path).code == 200
    eventually(lambda: published(api, name_of(foos)) is None)
    assert f"apis/{foos.group}/v1" not in api.get("/openapi/v3")["paths"]


def test_what_openapi_v2_cannot_say_is_left_open(api: Api, registered: Registered) -> None:
    schema = {
        "type": "object",
        "required": ["maybe", "sure"],
        "properties": {
            "maybe": {"type": "object", "nullable": True, "properties": {"a": {"type": "string"}}},
            "sure": {"type": "integer", "oneOf": [{"minimum": 1}, {"maximum": -1}]},
        },
    }
    foos = registered.define(version("v1", schema))
    expected = {
        "type": "object",
        "required": ["sure"],
        "properties": {"maybe": {}, "sure": {"type": "integer"}},
    }
    eventually(lambda: published(api, name_of(foos)) == expected)
    assert (in_v3(api, foos) or {})["properties"]["maybe"]["nullable"] is True
