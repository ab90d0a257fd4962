"""Pods of one module of tests: made all at once, so that each test finds its own on the way already."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import busyboximage
import websocket
from kubernetes.stream import stream
from localcluster import LocalCluster, until

Object = dict[str, Any]
FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
SECONDS = 90.0
# A web server: /health.txt is a file, /cgi-bin/hit notes what it was asked with in /tmp/hits.
WEB = (
    "mkdir -p /www/cgi-bin; echo ok > /www/health.txt; touch /tmp/hits; "
    "printf '#!/bin/sh\\necho \"$QUERY_STRING\" >> /tmp/hits\\necho; echo noted\\n' > /www/cgi-bin/hit; "
    "chmod +x /www/cgi-bin/hit; "
)
SERVE = WEB + "exec httpd -f -p 8080 -h /www"


def shell(script: str, name: str = "main", **more: Any) -> Object:
    """A container that runs a script."""
    return {"name": name, "image": busyboximage.NAME, "command": ["sh", "-c", script], **more}


class Pods:
    """The pods of one namespace."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.core = cluster.core

    def create(
        self, name: str, *containers: Object, labels: Object | None = None, annotations: Object | None = None,
        **spec: Any,
    ) -> Object:  # fmt: skip
        """A pod that ends when its containers do, unless `restartPolicy` says otherwise."""
        body = {
            "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
            "spec": {
                "containers": list(containers), "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                **spec,
            },
        }  # fmt: skip
        answer = self.core.create_namespaced_pod(self.namespace, body, _preload_content=False)
        made: Object = json.loads(answer.data)
        return made

    def get(self, name: str) -> Object:
        """The pod, {} where there is none."""
        fields = f"metadata.name={name}"
        answer = self.core.list_namespaced_pod(self.namespace, field_selector=fields, _preload_content=False)
        items = json.loads(answer.data)["items"]
        return items[0] if items else {}

    def wait(self, name: str, check: Callable[[Object], Any], seconds: float = SECONDS) -> Object:
        """The pod once it is as `check` wants it."""
        seen: Object = {}

        def looks() -> bool:
            seen.clear()
            seen.update(self.get(name))
            return bool(seen) and bool(check(seen))

        try:
            until(looks, seconds)
        except AssertionError:
            raise AssertionError(f"pod {name} is not as wanted: {json.dumps(seen.get('status'))}") from None
        return dict(seen)

    def ready(self, name: str) -> Object:
        return self.wait(name, lambda pod: condition(pod, "Ready") == "True")

    def ended(self, name: str, phase: str = "Succeeded") -> Object:
        pod = self.wait(name, lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"))
        assert pod["status"]["phase"] == phase, (pod["status"], self.log(name))
        return pod

    def output(self, name: str, container: str = "") -> str:
        """What a pod has said that ended well."""
        self.ended(name)
        return self.log(name, container)

    def gone(self, name: str, seconds: float = SECONDS) -> None:
        until(lambda: not self.get(name), seconds, f"pod {name} to be gone")

    def log(self, name: str, container: str = "") -> str:
        query = {"container": container} if container else {}
        answer = self.core.read_namespaced_pod_log(name, self.namespace, _preload_content=False, **query)
        text: str = answer.data.decode()
        return text

    def exec(self, name: str, script: str, container: str = "main") -> str:
        """What a script says in a running container."""
        said: str = stream(
            self.core.connect_get_namespaced_pod_exec, name, self.namespace, command=["sh", "-c", script],
            stdout=True, stderr=True, stdin=False, tty=False, container=container,
        )  # fmt: skip
        return said

    def patch(self, name: str, body: Any) -> Object:
        answer = self.core.patch_namespaced_pod(name, self.namespace, body, _preload_content=False)
        patched: Object = json.loads(answer.data)
        return patched

    def delete(self, name: str, grace: int | None = None) -> None:
        query = {} if grace is None else {"grace_period_seconds": grace}
        self.core.delete_namespaced_pod(name, self.namespace, **query)

    def events(self, name: str, reason: str) -> list[str]:
        """The messages of a pod's events of that reason."""
        found = self.core.list_namespaced_event(
            self.namespace, field_selector=f"involvedObject.name={name},reason={reason}"
        )
        return [event.message or "" for event in found.items]

    def config_map(self, name: str, **data: str) -> None:
        self.core.create_namespaced_config_map(self.namespace, {"metadata": {"name": name}, "data": data})

    def secret(self, name: str, **data: str) -> None:
        self.core.create_namespaced_secret(self.namespace, {"metadata": {"name": name}, "stringData": data})

    def dial(self, path: str, protocol: str) -> websocket.WebSocket:
        """A WebSocket to a subresource of a pod (`<name>/log?…`)."""
        settings = self.core.api_client.configuration
        url = f"{settings.host}/api/v1/namespaces/{self.namespace}/pods/{path}"
        return websocket.create_connection(
            url.replace("https://", "wss://", 1), subprotocols=[protocol], timeout=SECONDS,
            sslopt={
                "ca_certs": settings.ssl_ca_cert, "certfile": settings.cert_file, "keyfile": settings.key_file
            },
        )  # fmt: skip


def condition(pod: Object, kind: str) -> str:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((str(c["status"]) for c in conditions if c["type"] == kind), "")


def entry(pod: Object, container: str = "main") -> Object:
    """The status of a container, {} where there is none yet."""
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for status in (pod.get("status") or {}).get(key) or ():
            if status["name"] == container:
                found: Object = status
                return found
    return {}


def running(pod: Object, container: str = "main") -> bool:
    return "running" in (entry(pod, container).get("state") or {})


def restarts(pod: Object, container: str = "main") -> int:
    return int(entry(pod, container).get("restartCount") or 0)


def lines(text: str) -> dict[str, str]:
    """NAME=value lines as a dictionary."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
