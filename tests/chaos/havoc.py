"""Kills parts of a local cluster and its engine at random; writes to it, and keeps count of what was taken."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import urllib3
from docker.errors import APIError
from kubernetes.client.exceptions import ApiException
from localcluster import LocalCluster
from privateengine import PrivateEngine

from pybctl import engine

Unanswered = (ApiException, urllib3.exceptions.HTTPError, ConnectionError)


class Killer:
    """`kill_one` ends something with SIGKILL: a process of the cluster, a container, a sandbox; the engine too, or
    leaves that hanging for a while, once `engine_too` is set.

    Containers of pods whose name begins with one of `spared` are left alone. `log` says what was killed, in order;
    `uids` are those of all pods that were seen.
    """

    def __init__(
        self,
        cluster: LocalCluster,
        own: PrivateEngine,
        namespace: str,
        spared: tuple[str, ...],
        chance: random.Random,
    ) -> None:
        self._cluster = cluster
        self._engine = own
        self._namespace = namespace
        self._spared = spared
        self._chance = chance
        self._client = own.client()
        self._pause = threading.Event()
        self.engine_too = False
        self.log: list[str] = []
        self.uids: set[str] = set()

    def kill_one(self) -> None:
        run = self._cluster.home / "run"
        components = sorted(path.stem for path in run.glob("*.json"))
        engine_ends = ["engine killed", "engine stopped", "engine frozen"] if self.engine_too else []
        what = self._chance.choice([*components, "supervisor", *["container"] * 3, "sandbox", *engine_ends])
        if what in engine_ends:
            self._end_engine(what)
            return
        if what in ("container", "sandbox"):
            self._kill_container(what)
            return
        pid = self._cluster.pid(what)
        if pid:
            os.kill(pid, signal.SIGKILL)
            self.log.append(what)
        if what == "supervisor":
            # Nothing watches over the supervisor of a local cluster but its user.
            self._cluster.pybctl("cluster", "start", self._cluster.name)

    def _end_engine(self, what: str) -> None:
        if what == "engine frozen":
            self._engine.freeze()
            self._pause.wait(self._chance.uniform(0.5, 4))
            self._engine.thaw()
        else:
            self._engine.end(signal.SIGKILL if what == "engine killed" else signal.SIGTERM)
            self._pause.wait(self._chance.uniform(0, 1.5))
            self._engine.start()
        self.log.append(what)

    def _kill_container(self, kind: str) -> None:
        found = engine.containers(self._client, self._cluster.name)
        self.uids |= {container["Labels"][f"{PREFIX}uid"] for container in found}
        found = [
            container
            for container in found
            if container["State"] == "running"
            and container["Labels"][f"{PREFIX}kind"] == kind
            and container["Labels"][f"{PREFIX}namespace"] == self._namespace
            and not container["Labels"][f"{PREFIX}pod"].startswith(self._spared)
        ]
        if not found:
            return
        victim = self._chance.choice(found)
        try:
            self._client.kill(victim["Id"])
        except APIError:
            return  # it ended by itself meanwhile
        self.log.append(f"{kind} of {victim['Labels'][f'{PREFIX}pod']}")

    def close(self) -> None:
        self._client.close()


PREFIX = "io.pybernetes."


class Writer:
    """Writes without pause from a thread of its own; what the server acknowledged is in the public attributes."""

    def __init__(self, cluster: LocalCluster, namespace: str, deployments: list[str], chance: random.Random):
        self._core = cluster.core
        self._deployments = cluster.api.resources.get(api_version="apps/v1", kind="Deployment")
        self._namespace = namespace
        self._names = deployments
        self._chance = chance
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.wanted: dict[str, tuple[int, str]] = {}  # deployment → (replicas, version)
        self.created: list[str] = []  # ConfigMaps
        self.unanswered = 0
        self.failure = ""

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        try:
            while not self._enough.wait(0.05):
                number += 1
                self._until_acknowledged(lambda n=number: self._create(n))  # type: ignore[misc]
                if number % 40 == 0:
                    name = self._chance.choice(self._names)
                    replicas = self._chance.randint(1, 6)
                    self._until_acknowledged(lambda n=name, r=replicas: self._scale(n, r))  # type: ignore[misc]
                if number % 60 == 30:
                    self._until_acknowledged(self._delete_by_force)
                if number % 100 == 50:
                    name = self._chance.choice(self._names)
                    self._until_acknowledged(lambda n=name, v=str(number): self._update(n, v))  # type: ignore[misc]
        except Exception as error:  # told by the test, which fails
            self.failure = repr(error)
            raise

    def _until_acknowledged(self, write: Callable[[], None]) -> None:
        while True:
            try:
                write()
                return
            except Unanswered as error:
                if isinstance(error, ApiException) and 400 <= error.status < 429:
                    raise
                self.unanswered += 1
                self._enough.wait(0.05)

    def _create(self, number: int) -> None:
        name = f"written-{number}"
        try:
            self._core.create_namespaced_config_map(self._namespace, {"metadata": {"name": name}})
        except ApiException as error:
            if error.status != 409:  # an earlier try was done though never answered
                raise
        self.created.append(name)

    def _delete_by_force(self) -> None:
        """A pod of the deployments leaves the API at once, whatever still runs of it."""
        found = self._core.list_namespaced_pod(self._namespace, label_selector="app in (one,two)").items
        if not found:
            return
        name = self._chance.choice(sorted(pod.metadata.name for pod in found))
        try:
            self._core.delete_namespaced_pod(name, self._namespace, grace_period_seconds=0)
        except ApiException as error:
            if error.status != 404:
                raise

    def _patch(self, name: str, body: dict[str, Any]) -> None:
        self._deployments.patch(
            body=body, name=name, namespace=self._namespace, content_type="application/merge-patch+json"
        )

    def _scale(self, name: str, replicas: int) -> None:
        self._patch(name, {"spec": {"replicas": replicas}})
        self.wanted[name] = (replicas, self.wanted[name][1])

    def _update(self, name: str, version: str) -> None:
        self._patch(name, {"spec": {"template": {"metadata": {"annotations": {"version": version}}}}})
        self.wanted[name] = (self.wanted[name][0], version)


def say(text: str) -> None:
    print(text, file=sys.stderr)
