"""The server as a process: starting, health, limits, stopping, and what a kill leaves behind."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from pathlib import Path

import pytest
from apiclient import Api
from objects import config, pod
from servers import Server, serving


def test_health_and_version(api: Api) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/livez/ping"):
        assert api.get(path).raw == b"ok"
    verbose = api.get("/readyz?verbose").raw.decode()
    assert "[+]etcd ok" in verbose
    assert verbose.endswith("readyz check passed\n")
    for path in ("/healthz", "/livez", "/readyz"):
        lines = set(api.get(f"{path}?verbose=1").raw.decode().splitlines())
        steps = {
            "start-kube-apiserver-admission-initializer",
            "start-apiextensions-controllers",
            "bootstrap-controller",
        }
        names = {
            "ping",
            "log",
            "etcd",
            "autoregister-completion",
            *(f"poststarthook/{step}" for step in steps),
        }
        assert {f"[+]{name} ok" for name in names} <= lines
    assert api.get("/readyz/informer-sync").raw == b"ok"
    assert api.get("/livez/etcd").raw == b"ok"
    assert api.get("/readyz/nosuch").code == 404
    assert api.get("/version")["gitVersion"].startswith("v1.36")


def test_metrics_count_requests(api: Api) -> None:
    api.get("/api/v1/nodes")
    text = api.get("/metrics").raw.decode()
    assert 'apiserver_request_total{code="200",group="",resource="nodes"' in text
    assert "apiserver_request_duration_seconds_bucket" in text
    assert "process_resident_memory_bytes" in text


def test_system_objects_are_there(api: Api) -> None:
    names = {item["metadata"]["name"] for item in api.get("/api/v1/namespaces")["items"]}
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= names
    assert api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin").code == 200
    assert api.get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical")["value"] == 2000001000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_kill_loses_nothing_acknowledged(data: Path) -> None:
    server = Server(data, "--disable-admission-plugins", "ServiceAccount")
    server.start()
    api = server.client()
    acknowledged: list[str] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            try:
                if api.post("/api/v1/namespaces/default/configmaps", config(f"c{number}")).code == 201:
                    acknowledged.append(f"c{number}")
            except (OSError, http.client.HTTPException):
                return
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < 50:
        stop.wait(0.01)
    server.kill()
    stop.set()
    writer.join()
    server.start()
    try:
        again = server.client()
        kept = {
            item["metadata"]["name"] for item in again.get("/api/v1/namespaces/default/configmaps")["items"]
        }
        assert set(acknowledged) <= kept
        uid = again.get("/api/v1/namespaces/default")["metadata"]["uid"]
        assert uid == again.get("/api/v1/namespaces/default")["metadata"]["uid"]
    finally:
        server.stop()


def test_stopping_ends_watches_and_restarting_keeps_versions(data: Path) -> None:
    with serving(data) as server:
        api = server.client()
        version = api.get("/api/v1/namespaces")["metadata"]["resourceVersion"]
        with api.watch("/api/v1/namespaces?resourceVersion=" + version) as events:
            server.stop()
            assert list(events) == []
    with serving(data) as server:
        api = server.client()
        assert api.get("/api/v1/namespaces").code == 200
        api.post("/api/v1/namespaces", {"metadata": {"name": "later"}})
        with api.watch("/api/v1/namespaces?resourceVersion=" + version) as events:
            assert next(events)["object"]["metadata"]["name"] == "later"


def test_it_can_be_stopped_while_it_waits_for_its_storage(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = Server(data, "--storage", "etcd", "--etcd-servers", endpoint)
        server.launch()
        silent.accept()  # it asks, and is not answered
        server.stop()  # in order: left alone it would fail when its patience ends


def test_a_watcher_that_leaves_is_forgotten(data: Path) -> None:
    with serving(data, "--disable-admission-plugins", "ServiceAccount") as server:
        api = server.client()
        for _ in range(20):
            with api.watch("/api/v1/namespaces/default/pods"):
                pass
        api.post("/api/v1/namespaces/default/pods", pod())
        text = api.get("/metrics").raw.decode()
        line = next(
            line
            for line in text.splitlines()
            if line.startswith('apiserver_registered_watchers{group="",resource="pods"}')
        )
        assert float(line.rpartition(" ")[2]) == 0


def test_large_lists_are_compressed_when_asked(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(3):
        api.post(path, config(f"big{number}", text="x" * 100_000))
    packed = api.get(path, Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.raw) < 10_000
    plain = api.get(path)
    assert "Content-Encoding" not in plain.headers
    assert len(json.dumps(plain.body)) > 300_000
