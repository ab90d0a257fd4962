"""What a pod in the model of a node is made of: its manifest and what becomes of it in the API, what exists of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubeletd.podstate import events as ev
from kubeletd.podstate import plan_of
from kubeletd.podstate.plan import PodPlan

RESTARTED_BY_RULE = 2  # the exit code that main1's own rule restarts it for


def pod(
    policy: str,
    init: int,
    sidecars: int,
    main: int,
    hooks: bool,
    probes: bool,
    rules: str = "",
    **spec: Any,
) -> dict[str, Any]:
    def container(name: str, **more: Any) -> dict[str, Any]:
        result: dict[str, Any] = {"name": name, "image": "x", **more}
        if hooks and not name.startswith("init"):
            result["lifecycle"] = {"postStart": {"exec": {"command": ["a"]}}}
        if probes:
            result["startupProbe"] = {"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 7}
        if policy != "Never" and name.endswith("0"):
            result["resizePolicy"] = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
        if rules and name == "main1":
            codes = {"operator": "In", "values": [RESTARTED_BY_RULE]}
            result |= {
                "restartPolicy": "Never",
                "restartPolicyRules": [{"action": rules, "exitCodes": codes}],
            }
        return result

    inits = [container(f"init{i}") for i in range(init)]
    inits[1:1] = [container(f"side{i}", restartPolicy="Always") for i in range(sidecars)]
    return {
        "metadata": {"uid": "u1", "namespace": "ns", "name": "p"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": inits,
            "containers": [container(f"main{i}") for i in range(main)],
            **{key: value for key, value in spec.items() if value is not None},
        },
    }


@dataclass
class Made:
    """A container that exists."""

    name: str
    attempt: int
    sandbox: str
    spec_hash: str
    created_at: float
    stray: bool = False
    started_at: float = 0.0
    finished_at: float = 0.0
    code: int = 0
    to_resize: bool = False  # stopped so that it is made again with other resources

    @property
    def status(self) -> str:
        return "exited" if self.finished_at else "running" if self.started_at else "created"


@dataclass
class Box:
    """A sandbox that exists."""

    attempt: int
    created_at: float
    status: str = "created"


class ApiSide:
    """What the API's pod becomes. `send` tells the pod's worker."""

    manifest: dict[str, Any]
    plan: PodPlan
    deleted: bool

    def send(self, event: ev.Event) -> None:
        raise NotImplementedError

    def change(self, **spec: Any) -> None:
        self.manifest = {**self.manifest, "spec": {**self.manifest["spec"], **spec}}
        self.plan = plan_of(self.manifest)
        self.send(ev.PodChanged(self.plan))

    def _change_main(self, which: int, **fields: Any) -> None:
        containers = list(self.manifest["spec"]["containers"])
        which %= len(containers)
        containers[which] = {**containers[which], **fields}
        self.change(containers=containers)

    def resize(self, which: int, cpu: int) -> None:
        """One of the main containers is to have another amount of CPU."""
        self._change_main(which, resources={"requests": {"cpu": str(cpu)}})

    def change_image(self, which: int, image: int) -> None:
        self._change_main(which, image=f"x{image}")

    def debug(self) -> None:
        """`kubectl debug`: one more ephemeral container."""
        there = list(self.manifest["spec"].get("ephemeralContainers") or ())
        if len(there) < 2:
            self.change(ephemeralContainers=[*there, {"name": f"debug{len(there)}", "image": "x"}])

    def delete(self, grace: int) -> None:
        self.deleted = True
        given = {"deletionTimestamp": "x", "deletionGracePeriodSeconds": grace}
        self.manifest = {**self.manifest, "metadata": {**self.manifest["metadata"], **given}}
        self.plan = plan_of(self.manifest)
        self.send(ev.PodChanged(self.plan))

    def old_news(self) -> None:
        """The pod as it was before its deletion, from a list that took its time."""
        meta = {k: v for k, v in self.manifest["metadata"].items() if not k.startswith("deletion")}
        self.send(ev.PodChanged(plan_of({**self.manifest, "metadata": meta})))

    def force_delete(self) -> None:
        """The API has no such pod any more."""
        self.deleted = True
        self.plan = plan_of(self.manifest, gone=True)
        self.send(ev.PodChanged(self.plan))
