"""A local cluster for end-to-end tests: made by pybctl in a home of its own, asked by the official client."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from kubernetes import client, config, dynamic

from pybctl.supervisor import running_pid

_PAUSE = threading.Event()


T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = 60.0, what: str = "") -> T:
    """Waits until `condition` gives something true, and gives that. It is asked ten times a second."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or condition} did not come true within {seconds:.0f} s")
        _PAUSE.wait(0.1)


class LocalCluster:
    """`engine` is the URL of the Docker Engine it is on; empty means this machine's."""

    made: ClassVar[set[str]] = set()  # the names of all on this machine's engine

    def __init__(self, name: str, directory: Path, engine: str = "") -> None:
        self.name = name
        if not engine:
            self.made.add(name)
        self.environment = {
            **os.environ,
            **({"DOCKER_HOST": engine} if engine else {}),
            "PYBERNETES_HOME": str(directory),
            "KUBECONFIG": str(directory / "kubeconfig"),
        }
        self.home = directory / "clusters" / name
        self.kubeconfig = directory / "kubeconfig"
        self._api: Any = None

    def pybctl(
        self, *arguments: str, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "pybctl", *arguments]
        result = subprocess.run(
            command,
            check=False,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"pybctl {' '.join(arguments)}: {result.stderr or result.stdout}")
        return result

    def kubectl(self, *arguments: str, program: str = "kubectl", stdin: str = "") -> str:
        result = subprocess.run(
            [program, *arguments],
            check=False,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if result.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {result.stderr}")
        return result.stdout

    @property
    def api(self) -> Any:
        if self._api is None:
            self._api = dynamic.DynamicClient(config.new_client_from_config(str(self.kubeconfig)))
        return self._api

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api.client)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.pybctl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def pod(self, name: str, namespace: str) -> dict[str, Any]:
        """The pod as the API has it, {} where there is none."""
        try:
            found: dict[str, Any] = (
                self.api.resources.get(api_version="v1", kind="Pod")
                .get(name=name, namespace=namespace)
                .to_dict()
            )
        except dynamic.exceptions.NotFoundError:
            return {}
        return found

    def pods(self, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        kind = self.api.resources.get(api_version="v1", kind="Pod")
        items = kind.get(namespace=namespace, label_selector=selector).items
        return [item.to_dict() for item in items]

    def events(self, namespace: str, reason: str = "") -> list[str]:
        """The messages of a namespace's events."""
        found = self.core.list_namespaced_event(namespace).items
        return [event.message or "" for event in found if not reason or event.reason == reason]

    def pid(self, component: str) -> int:
        return running_pid(self.home / "run", component)

    def kill(self, component: str) -> None:
        """kill -9 of a component, which the supervisor starts again."""
        before = self.pid(component)
        os.kill(before, 9)
        until(lambda: self.pid(component) not in (0, before), 15, f"{component} to be started again")


def waiting_reason(pod: dict[str, Any], container: int = 0) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    if len(statuses) <= container:
        return ""
    return str(((statuses[container].get("state") or {}).get("waiting") or {}).get("reason", ""))


def restarts(pod: dict[str, Any]) -> int:
    return sum(s.get("restartCount", 0) for s in (pod.get("status") or {}).get("containerStatuses") or [])


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
