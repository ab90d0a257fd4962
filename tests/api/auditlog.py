"""A server that audits by a policy, and its log."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from apiclient import Api
from servers import serving

Object = dict[str, Any]

RULES: list[Object] = [
    {"level": "None", "nonResourceURLs": ["/readyz*", "/livez"]},
    {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
    {
        "level": "RequestResponse",
        "omitManagedFields": True,
        "namespaces": ["whole"],
        "resources": [{"group": "", "resources": ["configmaps"]}],
    },
    {
        "level": "Request",
        "omitStages": ["ResponseStarted"],
        "resources": [{"group": "", "resources": ["configmaps"]}],
    },
    {"level": "None", "verbs": ["list"], "resources": [{"group": "", "resources": ["nodes"]}]},
    {"level": "Metadata"},
]


class Log:
    """The events of a server, read again until what is looked for is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self) -> list[Object]:
        # The last line may not be whole yet.
        return [json.loads(line) for line in self.path.read_text().split("\n")[:-1]]

    def of(self, audit_id: str, count: int) -> list[Object]:
        """All events of a request, once there are so many."""
        give_up = time.monotonic() + 20
        while True:
            found = [event for event in self.events() if event["auditID"] == audit_id]
            if len(found) >= count or time.monotonic() > give_up:
                assert len(found) == count, found
                return found
            time.sleep(0.01)


@contextmanager
def auditing(directory: Path) -> Iterator[tuple[Api, Log]]:
    """The administrator's client, and the log of what it asks; there are two namespaces, `whole` and `half`."""
    policy = directory / "policy.yaml"
    document = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": RULES,
    }
    policy.write_text(yaml.safe_dump(document))
    path = directory / "logs" / "audit.log"
    flags = ("--audit-policy-file", str(policy), "--audit-log-path", str(path), "--storage", "memory")
    with serving(directory / "server", *flags) as server:
        api = server.client()
        for name in ("whole", "half"):
            assert api.post("/api/v1/namespaces", {"metadata": {"name": name}}).code == 201
        yield api, Log(path)
        api.close()
