"""Operators written with kopf, run as they are: creation, updates, timers, finalizers, status patches."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apiclient import Api
from servers import Server

pytest.importorskip("kopf")

Object = dict[str, Any]
GROUP = "operators.example.com"
OPERATOR = """
import kopf

@kopf.on.create("gardens")
def created(spec, patch, **_):
    patch.status["phase"] = "planted"
    return {"trees": spec.get("trees")}

@kopf.on.update("gardens", field="spec.trees")
def updated(old, new, patch, **_):
    patch.status["changed"] = f"{old} to {new}"

@kopf.timer("gardens", interval=0.2)
def tick(status, patch, **_):
    patch.status["ticks"] = (status.get("ticks") or 0) + 1

@kopf.on.delete("gardens")
def deleted(**_):
    pass
"""
CRD: Object = {
    "metadata": {"name": f"gardens.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "gardens", "kind": "Garden"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"trees": {"type": "integer"}}},
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def eventually(check: Callable[[], Any], seconds: float = 40) -> Any:
    give_up = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < give_up, "it did not come to be"
        time.sleep(0.05)
    return found


@pytest.fixture
def gardens(api: Api, namespace: str) -> Iterator[str]:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert api.post(crds, copy.deepcopy(CRD)).code == 201
    url = f"/apis/{GROUP}/v1/namespaces/{namespace}/gardens"
    eventually(lambda: api.get(url).code == 200)
    yield url
    api.delete(f"{crds}/gardens.{GROUP}")
    eventually(lambda: api.get(f"{crds}/gardens.{GROUP}").code == 404)


@pytest.fixture
def operator(server: Server, gardens: str, namespace: str, tmp_path: Path) -> Iterator[None]:
    source = tmp_path / "operator.py"
    source.write_text(OPERATOR)
    with (tmp_path / "kopf.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kopf", "run", str(source), "-n", namespace, "--standalone"],
            env={**os.environ, "KUBECONFIG": str(server.data / "admin.conf")},
            stdout=log,
            stderr=log,
        )
        yield
        process.terminate()
        process.wait(20)


@pytest.mark.slow
def test_an_operator_looks_after_its_objects(api: Api, gardens: str, operator: None) -> None:
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Garden", "metadata": {"name": "g"}, "spec": {"trees": 1}}
    assert api.post(gardens, body).code == 201

    def status() -> Object:
        found: Object = api.get(f"{gardens}/g").body.get("status") or {}
        return found

    eventually(lambda: status().get("phase") == "planted" and status().get("ticks", 0) > 1)
    assert status()["created"] == {"trees": 1}
    assert api.get(f"{gardens}/g")["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
    assert api.patch(f"{gardens}/g", {"spec": {"trees": 4}}).code == 200
    assert eventually(lambda: status().get("changed")) == "1 to 4"
    assert api.delete(f"{gardens}/g").code == 200
    eventually(lambda: api.get(f"{gardens}/g").code == 404)
