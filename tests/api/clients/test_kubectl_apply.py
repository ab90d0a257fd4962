"""kubectl apply, diff, edit, patch, replace, label, annotate and kustomize: objects as people keep them in files."""

from __future__ import annotations

import json
from pathlib import Path

from .kubectls import Kubectl
from .manifests import WEB, config_map


def field(kubectl: Kubectl, what: str, path: str) -> str:
    return kubectl("get", what, "-o", f"jsonpath={{{path}}}")


def test_apply_again_and_changed(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web unchanged\n"
    changed = WEB.replace("nginx:1", "nginx:2").replace("replicas: 2", "replicas: 3")
    dry = kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed)
    assert dry == "deployment.apps/web configured (server dry run)\n"
    assert (
        kubectl("apply", "--dry-run=client", "-f", "-", stdin=changed)
        == "deployment.apps/web configured (dry run)\n"
    )
    assert field(kubectl, "deploy/web", ".spec.replicas") == "2"
    assert kubectl("apply", "-f", "-", stdin=changed) == "deployment.apps/web configured\n"
    assert field(kubectl, "deploy/web", ".spec.template.spec.containers[*].image") == "nginx:2"
    without = changed.replace(", ports: [{containerPort: 80}]", "")
    kubectl("apply", "-f", "-", stdin=without)
    assert field(kubectl, "deploy/web", ".spec.template.spec.containers[0].ports") == ""
    assert "nginx:2" in kubectl("apply", "view-last-applied", "deploy/web")
    # An object that was created without apply gets its annotation, and a warning.
    kubectl("create", "configmap", "made", "--from-literal=a=b")
    done = kubectl.run("apply", "-f", "-", stdin=config_map("made"))
    assert done.out == "configmap/made configured\n"
    assert "missing the kubectl.kubernetes.io/last-applied-configuration annotation" in done.err


def test_prune(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=config_map("one") + config_map("two"))
    prune = ("apply", "--prune", "-l", "part=of-test", "--prune-allowlist=core/v1/ConfigMap", "-f", "-")
    assert kubectl(*prune, stdin=config_map("one")) == "configmap/one unchanged\nconfigmap/two pruned\n"
    # Without a list of kinds every kind that kubectl prunes is looked through.
    printed = kubectl("apply", "--prune", "-l", "part=of-test", "-f", "-", stdin=WEB)
    assert printed == "deployment.apps/web created\nconfigmap/one pruned\n"


def test_server_side_apply_and_conflicts(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert kubectl(*apply, stdin=WEB) == "deployment.apps/web serverside-applied\n"
    other = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    changed = WEB.replace("nginx:1", "nginx:2").replace("replicas: 2", "replicas: 3")
    told = kubectl.fails(*other, stdin=changed)
    assert told.startswith(
        'error: Apply failed with 2 conflicts: conflicts with "kubectl":\n'
        "- .spec.replicas\n"
        '- .spec.template.spec.containers[name="c"].image\n'
        "Please review the fields above--they currently have other managers."
    )
    one = WEB.replace("nginx:1", "nginx:2")
    assert kubectl.fails(*other, stdin=one).startswith(
        'error: Apply failed with 1 conflict: conflict with "kubectl": '
        '.spec.template.spec.containers[name="c"].image\n'
    )
    kubectl(*other, "--force-conflicts", stdin=one)
    shown = json.loads(kubectl("get", "deploy", "web", "-o", "json", "--show-managed-fields"))
    owners = {entry["manager"]: entry for entry in shown["metadata"]["managedFields"]}
    containers = owners["kubectl"]["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert "f:image" not in containers['k:{"name":"c"}']
    assert owners["other"]["operation"] == "Apply"
    # Who scales by another command takes the field over; the applier hears of it.
    kubectl("scale", "deploy", "web", "--replicas=5")
    told = kubectl.fails(*apply, stdin=one)
    assert 'Apply failed with 1 conflict: conflict with "kubectl' in told
    assert ".spec.replicas" in told


def test_server_side_apply_takes_client_side_applys_fields_over(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    changed = WEB.replace("nginx:1", "nginx:2").replace(", ports: [{containerPort: 80}]", "")
    kubectl("apply", "--server-side", "-f", "-", stdin=changed)
    shown = json.loads(kubectl("get", "deploy", "web", "-o", "json", "--show-managed-fields"))
    managers = {(m["manager"], m["operation"]) for m in shown["metadata"]["managedFields"]}
    assert ("kubectl-client-side-apply", "Update") not in managers
    container = shown["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], "ports" in container) == ("nginx:2", False)


def test_diff(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    assert kubectl("diff", "-f", "-", stdin=WEB) == ""
    done = kubectl.run("diff", "-f", "-", stdin=WEB.replace("nginx:1", "nginx:2") + config_map("new"))
    assert done.code == 1
    lines = [line for line in done.out.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert {
        "-      - image: nginx:1",
        "+      - image: nginx:2",
        "-  generation: 1",
        "+  generation: 2",
    } < set(lines)
    assert "+kind: ConfigMap" in lines
    assert kubectl.run("diff", "--server-side", "-f", "-", stdin=WEB.replace(": 2", ": 3")).code == 1


def test_edit(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    edit = ("edit", "deploy", "web")
    assert kubectl(*edit, KUBE_EDITOR="sed -i s/nginx:1/nginx:2/") == "deployment.apps/web edited\n"
    assert field(kubectl, "deploy/web", ".spec.template.spec.containers[*].image") == "nginx:2"
    done = kubectl.run(*edit, KUBE_EDITOR="true")
    assert (done.out + done.err).strip() == "Edit cancelled, no changes made."
    # A change that is refused is offered again with the reason; the second look leaves it as it is.
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\ncat "$1" > seen\nsed -i s/revisionHistoryLimit/revisions/ "$1"\n')
    editor.chmod(0o755)
    told = kubectl.fails(*edit, KUBE_EDITOR=str(editor))
    assert told.startswith('error: deployments.apps "web" is invalid\n')
    seen = (kubectl.home / "seen").read_text()
    assert '# * patch: Invalid value: "map[spec:map[revisionHistoryLimit:<nil> revisions:10]]"' in seen
    assert 'strict decoding error: unknown field "spec.revisions"' in seen
    kubectl("edit", "deploy", "web", "--subresource=status", KUBE_EDITOR="true")


def test_patches(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    patch = ("patch", "deploy", "web")
    second = '{"spec":{"template":{"spec":{"containers":[{"name":"d","image":"x"}]}}}}'
    assert kubectl(*patch, "-p", second) == "deployment.apps/web patched\n"
    kubectl("create", "configmap", "one")
    same = ("patch", "cm", "one", "-p", '{"data":{"a":"b"}}')
    assert kubectl(*same) == "configmap/one patched\n"
    assert kubectl(*same) == "configmap/one patched (no change)\n"
    gone = '{"spec":{"template":{"spec":{"containers":[{"name":"d","$patch":"delete"}]}}}}'
    kubectl(*patch, "-p", gone)
    assert field(kubectl, "deploy/web", ".spec.template.spec.containers[*].name") == "c"
    kubectl(*patch, "--type=merge", "-p", '{"metadata":{"labels":{"a":"1","part":null}}}')
    assert json.loads(field(kubectl, "deploy/web", ".metadata.labels")) == {"a": "1"}
    kubectl(*patch, "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":4}]')
    assert field(kubectl, "deploy/web", ".spec.replicas") == "4"
    invalid = "The request is invalid: the server rejected our request due to an error in our request\n"
    for op in ('{"op":"test","path":"/spec/replicas","value":9}', '{"op":"remove","path":"/spec/none"}'):
        assert kubectl.fails(*patch, "--type=json", "-p", f"[{op}]") == invalid
    done = kubectl.run(*patch, "-p", '{"spec":{"replicaz":1}}')
    assert done.out.startswith("deployment.apps/web patched")
    assert done.err == 'Warning: unknown field "spec.replicaz"\n'
    assert kubectl.fails(*patch, "-p", '{"spec":{"replicas":"x"}}') == (
        'The request is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": unrecognized type: int32\n'
    )
    assert kubectl.fails(*patch, "-p", '{"spec":{"replicas":-1}}') == (
        'The Deployment "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0\n'
    )
    kubectl(*patch, "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}')
    assert field(kubectl, "deploy/web", ".spec.replicas") == "2"
    told = kubectl.fails(*patch, "-p", '{"spec":{"selector":{"matchLabels":{"x":"y"}}}}')
    assert "spec.selector: Invalid value: " in told
    assert "field is immutable" in told
    named = kubectl.fails(*patch, "-p", '{"metadata":{"name":"other"}}')
    assert (
        named == "Error from server (BadRequest): the name of the object (other) does not match "
        "the name on the URL (web)\n"
    )


def test_replace(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("create", "configmap", "one", "--from-literal=a=b")
    stale = kubectl("get", "configmap", "one", "-o", "yaml")
    file = tmp_path / "one.yaml"
    file.write_text(stale.replace("a: b", "a: c"))
    assert kubectl("replace", "-f", str(file)) == "configmap/one replaced\n"
    assert kubectl.fails("replace", "-f", str(file)) == (
        f'Error from server (Conflict): error when replacing "{file}": Operation cannot be fulfilled on configmaps '
        '"one": the object has been modified; please apply your changes to the latest version and try again\n'
    )
    done = kubectl("replace", "--force", "-f", str(file))
    assert done.startswith('configmap "one" deleted')
    assert done.endswith("configmap/one replaced\n")
    assert 'configmaps "none" not found' in kubectl.fails("replace", "-f", "-", stdin=config_map("none"))


def test_labels_and_annotations(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=config_map("one") + config_map("two"))
    assert kubectl("label", "cm", "one", "tier=front") == "configmap/one labeled\n"
    told = kubectl.fails("label", "cm", "one", "tier=back")
    assert "'tier' already has a value (front), and --overwrite is false" in told
    assert kubectl("label", "cm", "one", "tier=back", "--overwrite") == "configmap/one labeled\n"
    assert kubectl("label", "cm", "one", "tier-") == "configmap/one unlabeled\n"
    assert kubectl("label", "cm", "-l", "part=of-test", "z=1").count("labeled") == 2
    assert set(kubectl("label", "cm", "one", "--list").split()) == {"part=of-test", "z=1"}
    stale = kubectl.fails("label", "cm", "one", "z=2", "--overwrite", "--resource-version=1")
    assert "the object has been modified" in stale
    told = kubectl.fails("label", "cm", "one", "bad key=1")
    assert told.startswith(
        'The ConfigMap "one" is invalid: metadata.labels: Invalid value: "bad key": name part'
    )
    assert kubectl("annotate", "cm", "one", "note=hello world").startswith("configmap/one annotate")
    assert field(kubectl, "cm/one", ".metadata.annotations.note") == "hello world"
    assert kubectl("annotate", "cm", "one", "note-").startswith("configmap/one annotate")


def test_kustomize(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "namePrefix: k-\nresources: [web.yaml]\nimages: [{name: nginx, newTag: '7'}]\n"
        "configMapGenerator: [{name: settings, literals: [a=b]}]\n"
    )
    (tmp_path / "web.yaml").write_text(WEB)
    assert "image: nginx:7" in kubectl("kustomize", str(tmp_path))
    applied = kubectl("apply", "-k", str(tmp_path))
    assert applied == "configmap/k-settings-4h2mbtbbt6 created\ndeployment.apps/k-web created\n"
    assert kubectl("get", "-k", str(tmp_path), "-o", "name").split() == [
        "configmap/k-settings-4h2mbtbbt6",
        "deployment.apps/k-web",
    ]
    assert kubectl("delete", "-k", str(tmp_path)).count("deleted") == 2
