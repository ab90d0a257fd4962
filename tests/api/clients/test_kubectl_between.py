"""The versions of kubectl between the oldest and the newest: a shorter walk through the same commands."""

from __future__ import annotations

import json

from .kubectls import Kubectl, columns
from .manifests import WEB, config_map


def test_a_day_with_kubectl(kubectl_between: Kubectl) -> None:
    kubectl = kubectl_between
    assert kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web unchanged\n"
    assert kubectl("rollout", "status", "deploy/web", "--timeout=30s").endswith("successfully rolled out\n")
    assert columns(kubectl("get", "deploy"))[1][:4] == ["web", "2/2", "2", "2"]
    changed = WEB.replace("nginx:1", "nginx:2")
    assert kubectl.run("diff", "-f", "-", stdin=changed).code == 1
    assert (
        kubectl("apply", "--server-side", "-f", "-", stdin=changed)
        == "deployment.apps/web serverside-applied\n"
    )
    told = kubectl.fails("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=WEB)
    assert 'Apply failed with 1 conflict: conflict with "kubectl"' in told
    kubectl("set", "env", "deploy/web", "A=1")
    kubectl("scale", "deploy", "web", "--replicas=1")
    kubectl("rollout", "undo", "deploy/web")
    kubectl("rollout", "restart", "deploy/web")
    assert kubectl("rollout", "status", "deploy/web", "--timeout=30s").endswith("successfully rolled out\n")
    kubectl("expose", "deploy", "web", "--port=80")
    kubectl("autoscale", "deploy", "web", "--max=3")
    kubectl("edit", "deploy", "web", KUBE_EDITOR="sed -i s/replicas:.1/replicas:\\ 2/")
    assert "Replicas: " in kubectl("describe", "deploy", "web")
    kubectl("apply", "-f", "-", stdin=config_map("one"))
    kubectl("label", "cm", "one", "a=b")
    kubectl("annotate", "cm", "one", "a=b")
    kubectl("patch", "cm", "one", "--type=json", "-p", '[{"op":"add","path":"/data/c","value":"d"}]')
    assert json.loads(kubectl("get", "cm", "one", "-o", "json"))["data"] == {"a": "b", "c": "d"}
    kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    kubectl("create", "sa", "bot")
    assert kubectl("create", "token", "bot").count(".") == 2
    assert "containers\t<[]Container> -required-" in kubectl("explain", "pod.spec")
    assert kubectl("auth", "can-i", "get", "pods") == "yes\n"
    assert "deployments.apps" in kubectl("api-resources", "-o", "name").split()
    assert kubectl("run", "p", "--image=nginx:1", "--restart=Never") == "pod/p created\n"
    assert kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s") == "pod/p condition met\n"
    unknown = kubectl.fails("create", "-f", "-", stdin=config_map("two").replace("data", "dataa"))
    assert 'strict decoding error: unknown field "dataa"' in unknown
    assert kubectl("delete", "deploy,svc,hpa", "web").count("deleted") == 3
