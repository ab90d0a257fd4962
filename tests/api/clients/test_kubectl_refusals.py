"""What kubectl prints of objects the server refuses or warns of, word for word as on Kubernetes."""

from __future__ import annotations

import json

from .kubectls import Kubectl, columns

POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {{name: b}}\nspec: {{containers: [{{name: c, image: x{0}}}]{1}}}\n"
)
CREATING = 'Error from server (BadRequest): error when creating "STDIN": '
AS_A_POD = f'{CREATING}Pod in version "v1" cannot be handled as a Pod: '
QUANTITIES = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def pod(container: str = "", spec: str = "") -> str:
    return POD.format(container and f", {container}", spec and f", {spec}")


def test_unknown_fields(kubectl: Kubectl) -> None:
    manifest = pod("imagee: y", "nodeNam: q")
    problems = ['unknown field "spec.containers[0].imagee"', 'unknown field "spec.nodeNam"']
    strict = f"{AS_A_POD}strict decoding error: {', '.join(problems)}\n"
    assert kubectl.fails("create", "-f", "-", stdin=manifest) == strict
    assert kubectl.fails("apply", "-f", "-", "--validate=strict", stdin=manifest) == strict
    warned = kubectl.run("create", "-f", "-", "--validate=warn", "--dry-run=server", stdin=manifest)
    assert warned.out == "pod/b created (server dry run)\n"
    assert warned.err == "".join(f"Warning: {problem}\n" for problem in problems)
    ignored = kubectl.run("create", "-f", "-", "--validate=ignore", "--dry-run=server", stdin=manifest)
    assert (ignored.out, ignored.err) == ("pod/b created (server dry run)\n", "")
    applied = kubectl.fails("apply", "--server-side", "-f", "-", stdin=pod(spec="nodeNam: q"))
    assert applied.endswith(
        f"failed to create typed patch object ({kubectl.namespace}/b; /v1, Kind=Pod): "
        ".spec.nodeNam: field not declared in schema\n"
    )


WRONG_TYPES = [
    (
        pod('ports: [{containerPort: "80"}]'),
        "json: cannot unmarshal string into Go struct field "
        "ContainerPort.spec.containers.ports.containerPort of type int32",
    ),
    (
        pod("env: [{name: A, value: 1}]"),
        "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\nspec: {containers: {a: b}}\n",
        "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
    ),
    (pod("resources: {limits: {cpu: 1x}}"), QUANTITIES),
]


def test_wrong_types(kubectl: Kubectl) -> None:
    for manifest, words in WRONG_TYPES:
        assert kubectl.fails("create", "-f", "-", stdin=manifest) == f"{AS_A_POD}{words}\n"


INVALID = [
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\nspec: {}\n",
        'The Pod "b" is invalid: spec.containers: Required value\n',
    ),
    (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b}\n",
        'The Deployment "b" is invalid: \n'
        "* spec.selector: Required value\n"
        "* spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`\n"
        "* spec.template.spec.containers: Required value\n",
    ),
    (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n",
        'The ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required\n',
    ),
    (
        pod("imagePullPolicy: Perhaps", "restartPolicy: Foo"),
        'The Pod "b" is invalid: \n'
        '* spec.containers[0].imagePullPolicy: Unsupported value: "Perhaps": supported values: '
        '"Always", "IfNotPresent", "Never"\n'
        '* spec.restartPolicy: Unsupported value: "Foo": supported values: "Always", "Never", "OnFailure"\n',
    ),
    (
        pod("volumeMounts: [{name: v, mountPath: /a}]"),
        'The Pod "b" is invalid: spec.containers[0].volumeMounts[0].name: Not found: "v"\n',
    ),
    (
        "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{port: 99999, targetPort: 1}]}\n",
        'The Service "b" is invalid: spec.ports[0].port: Invalid value: 99999: '
        "must be between 1 and 65535, inclusive\n",
    ),
    (
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: b}\n"
        "spec: {template: {spec: {restartPolicy: Always, containers: [{name: c, image: x}]}}}\n",
        'The Job "b" is invalid: spec.template.spec.restartPolicy: Required value: '
        'valid values: "OnFailure", "Never"\n',
    ),
]


def test_invalid_objects(kubectl: Kubectl) -> None:
    for manifest, told in INVALID:
        assert kubectl.fails("create", "-f", "-", stdin=manifest) == told


def test_warnings(kubectl: Kubectl) -> None:
    old = "nodeSelector: {beta.kubernetes.io/os: linux}"
    twice = 'env: [{name: A, value: "1"}, {name: A, value: "2"}]'
    done = kubectl.run("create", "-f", "-", stdin=pod(twice, old))
    assert done.out == "pod/b created\n"
    assert done.err.splitlines() == [
        'Warning: spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        'Warning: spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    ]
    strict = kubectl.run(
        "create",
        "-f",
        "-",
        "--warnings-as-errors",
        "--dry-run=server",
        stdin=pod("", old).replace("{name: b}", "{name: d}"),
    )
    assert (strict.code, strict.err.splitlines()[-1]) == (1, "error: 1 warning received")
    ingress = (
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
        "metadata: {name: i, annotations: {kubernetes.io/ingress.class: x}}\n"
        "spec: {defaultBackend: {service: {name: a, port: {number: 80}}}}\n"
    )
    assert kubectl.run("apply", "-f", "-", stdin=ingress).err == (
        'Warning: annotation "kubernetes.io/ingress.class" is deprecated, '
        "please use 'spec.ingressClassName' instead\n"
    )
    # A template is warned of when it changes, and not when only metadata does.
    kubectl("create", "deployment", "web", "--image=x", "--replicas=0")
    patch = json.dumps({"spec": {"template": {"spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}}}})
    assert kubectl.run("patch", "deploy", "web", "-p", patch).err.startswith(
        "Warning: spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated"
    )
    assert kubectl.run("label", "deploy", "web", "a=b").err == ""


def test_deprecated_kinds(kubectl: Kubectl) -> None:
    done = kubectl.run("get", "componentstatuses")
    assert done.err == "Warning: v1 ComponentStatus is deprecated in v1.19+\n"
    assert columns(done.out)[0] == ["NAME", "STATUS", "MESSAGE", "ERROR"]
    assert columns(done.out)[1:] == [
        [name, "Healthy", "ok"] for name in ("controller-manager", "etcd-0", "scheduler")
    ]
    one = kubectl.run("get", "cs", "etcd-0", "-o", "name")
    assert one.out == "componentstatus/etcd-0\n"
    warning = "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n"
    assert kubectl.run("get", "endpoints", "--all-namespaces").err == warning
    assert kubectl.run("get", "endpointslices", "--all-namespaces").err == ""


def test_what_may_not_change(kubectl: Kubectl) -> None:
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("patch", "secret", "s", "-p", '{"immutable":true}')
    assert kubectl.fails("patch", "secret", "s", "-p", '{"data":{"a":"YQ=="}}') == (
        'The Secret "s" is invalid: data: Forbidden: field is immutable when `immutable` is set\n'
    )
    kubectl("create", "-f", "-", stdin=pod())
    told = kubectl.fails("patch", "pod", "b", "-p", '{"spec":{"hostname":"x"}}')
    assert told.startswith(
        'The Pod "b" is invalid: spec: Forbidden: pod updates may not change fields other than '
        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
        "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds`"
    )
    kubectl("create", "service", "clusterip", "a", "--tcp=80")
    told = kubectl.fails("patch", "svc", "a", "-p", '{"spec":{"clusterIP":"10.96.0.77"}}')
    assert told.startswith('The Service "a" is invalid: spec.clusterIPs[0]: Invalid value: ')
    assert "may not change once set" in told
    assert kubectl.fails("apply", "-f", "nosuch.yaml") == 'error: the path "nosuch.yaml" does not exist\n'
