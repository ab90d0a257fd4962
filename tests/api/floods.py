"""Floods of requests against a server, priority levels to hold them in, and the figures that say where they are."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

from apiclient import Answer, Api
from servers import Server
from webhookserver import ALLOW, WebhookServer

Object = dict[str, Any]
BASE = "/apis/flowcontrol.apiserver.k8s.io/v1"
LEVELS, SCHEMAS = f"{BASE}/prioritylevelconfigurations", f"{BASE}/flowschemas"
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_numbers = count()


def eventually(what: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not what():
        assert time.monotonic() < give_up
        time.sleep(0.01)


class Metrics:
    """The flow control metrics of one level or schema."""

    def __init__(self, admin: Api) -> None:
        self._admin = admin

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of a metric over the series that have the labels."""
        total = 0.0
        for line in self._admin.get("/metrics").raw.decode().splitlines():
            found = re.fullmatch(r"apiserver_flowcontrol_(\w+)\{(.*)\} (\S+)", line)
            if (
                found
                and found[1] == name
                and all(f'{key}="{value}"' in found[2] for key, value in labels.items())
            ):
                total += float(found[3])
        return total


class Levels:
    """Makes priority levels with a schema of the same name each, and takes them away again."""

    def __init__(self, admin: Api) -> None:
        self._admin = admin
        self._made: list[str] = []

    def add(
        self, name: str, users: list[str], queuing: Object | None = None, shares: int = 10, **limited: int
    ) -> None:
        response = {"type": "Queue", "queuing": queuing} if queuing else {"type": "Reject"}
        shaped = {"nominalConcurrencyShares": shares, "limitResponse": response, "borrowingLimitPercent": 0}
        level = {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": shaped | limited}}
        made = self._admin.post(LEVELS, level)
        assert made.code == 201, made.body
        self._made.append(f"{LEVELS}/{name}")
        made = self._admin.post(SCHEMAS, schema(name, name, users))
        assert made.code == 201, made.body
        self._made.append(f"{SCHEMAS}/{name}")

    def close(self) -> None:
        for path in self._made:
            self._admin.delete(path)


def schema(name: str, level: str, users: list[str], precedence: int = 50) -> Object:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": user}} for user in users],
        "resourceRules": [
            {
                "verbs": ["*"],
                "apiGroups": ["*"],
                "resources": ["*"],
                "namespaces": ["*"],
                "clusterScope": True,
            }
        ],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [rule],
        },
    }


class Flood:
    """Requests that stay in their seats until they are let go: a webhook does not answer before."""

    def __init__(self, server: Server, hooks: WebhookServer, admin: Api) -> None:
        self._server = server
        self._gate = threading.Event()
        self._pool = ThreadPoolExecutor(40)
        self._admin = admin
        config = hooks.on("/gate", self._answer)
        rules = [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
        ]
        webhook = {
            "name": "gate.example.com",
            "clientConfig": config,
            "sideEffects": "None",
            "timeoutSeconds": 30,
            "admissionReviewVersions": ["v1"],
            "objectSelector": {"matchLabels": {"flood": "true"}},
            "rules": rules,
        }
        self._path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        made = admin.post(self._path, {"metadata": {"name": "gate"}, "webhooks": [webhook]})
        assert made.code == 201, made.body

    def _answer(self, request: Object) -> Object:
        self._gate.wait(30)
        return ALLOW

    def send(self, user: str, number: int) -> list[Future[Answer]]:
        return [self._pool.submit(self._request, user) for _ in range(number)]

    def _request(self, user: str) -> Answer:
        client = self._server.client()
        try:
            body = {"metadata": {"name": f"flood-{next(_numbers)}", "labels": {"flood": "true"}}}
            return client.post(CONFIG_MAPS, body, Impersonate_User=user, Impersonate_Group="testers")
        finally:
            client.close()

    def let_go(self) -> None:
        self._gate.set()

    def close(self) -> None:
        self._gate.set()
        self._pool.shutdown()
        self._admin.delete(f"{self._path}/gate")


@contextmanager
def acting(server: Server, user: str) -> Iterator[Callable[[str], Answer]]:
    """GETs as a user."""
    client = server.client()
    yield lambda path: client.get(path, Impersonate_User=user, Impersonate_Group="testers")
    client.close()
