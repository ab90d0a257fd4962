"""Area common/node: what containers find in their environment, and paths made of it."""

from __future__ import annotations

from typing import Any

import pytest
from localcluster import until
from podset import FOREVER, Pods, condition, lines, running, shell

pytestmark = pytest.mark.e2e
Object = dict[str, Any]


def field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def amount(name: str, resource: str) -> Object:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource}}}


AMOUNTS = [
    amount("CPU_LIMIT", "limits.cpu"), amount("MEMORY_LIMIT", "limits.memory"),
    amount("CPU_REQUEST", "requests.cpu"), amount("MEMORY_REQUEST", "requests.memory"),
]  # fmt: skip
POD_NAME = field("POD_NAME", "metadata.name")
PREFIXES = ("p-1_", "9digits.", "@#!$%^&*() ~", "ordinary_")


def sub_path(
    pods: Pods, name: str, variables: list[Object], expression: str, script: str, **more: Any
) -> None:
    mounts = [
        {"name": "work", "mountPath": "/expanded", "subPathExpr": expression},
        {"name": "work", "mountPath": "/whole"},
    ]
    pods.create(
        name,
        shell(script, env=variables, volumeMounts=mounts),
        volumes=[{"name": "work", "emptyDir": {}}],
        **more,
    )


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    pods.config_map("config", data_1="value-1", data_2="value-2")
    pods.secret("secret", data_1="secret-1", data_2="secret-2")
    port = {"port": 8765, "targetPort": 8080}
    service = {"metadata": {"name": "fooservice"}, "spec": {"selector": {"name": "serve"}, "ports": [port]}}
    pods.core.create_namespaced_service(pods.namespace, service)
    key = {"configMapKeyRef": {"name": "config", "key": "data_1"}}
    pods.create("config-key", shell("env", env=[{"name": "CONFIG_DATA_1", "valueFrom": key}]))
    from_config = [{"configMapRef": {"name": "config"}}, {"prefix": "p_", "configMapRef": {"name": "config"}}]
    pods.create("config-all", shell("env", envFrom=from_config))
    secret = {"secretKeyRef": {"name": "secret", "key": "data_1"}}
    pods.create(
        "secret-all",
        shell(
            "env", env=[{"name": "SECRET_DATA", "valueFrom": secret}],
            envFrom=[{"secretRef": {"name": "secret"}}, {"prefix": "p_", "secretRef": {"name": "secret"}}],
        ),
    )  # fmt: skip
    prefixed = [{"prefix": prefix, "secretRef": {"name": "secret"}} for prefix in PREFIXES]
    # `env` of an image's shell would drop names that are no variables of a shell.
    pods.create(
        "secret-prefixes",
        {**shell(""), "command": ["cat", "/proc/self/environ"], "envFrom": prefixed},
    )
    paths = {
        "POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace", "POD_IP": "status.podIP",
        "HOST_IP": "status.hostIP", "HOST_IPS": "status.hostIPs", "POD_UID": "metadata.uid",
    }  # fmt: skip
    pods.create("fields", shell("env", env=[field(name, path) for name, path in paths.items()]))
    given = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
    pods.create("amounts", shell("env", env=AMOUNTS, resources=given))
    pods.create("default-amounts", shell("env", env=AMOUNTS))
    pods.create(
        "composed",
        shell(
            "env",
            env=[{"name": "FOO", "value": "foo-value"}, {"name": "BAR", "value": "bar-value"},
                 {"name": "FOOBAR", "value": "$(FOO);;$(BAR)"}, {"name": "KEPT", "value": "$$(FOO) $(NONE)"}],
        ),
    )  # fmt: skip
    pods.create(
        "expanded",
        {**shell(""), "command": ["sh", "-c", 'TEST_VAR=wrong echo "$(TEST_VAR)"'],
         "env": [{"name": "TEST_VAR", "value": "test-value"}]},
    )  # fmt: skip
    pods.create(
        "expanded-arguments",
        {**shell(""), "command": ["sh", "-c"], "args": ['TEST_VAR=wrong echo "$(TEST_VAR)"'],
         "env": [{"name": "TEST_VAR", "value": "test-value"}]},
    )  # fmt: skip
    pods.create("services", shell("env"))
    sub_path(pods, "sub-path", [POD_NAME], "$(POD_NAME)", "test -d /whole/sub-path && ls -d /expanded")
    sub_path(pods, "outside", [{"name": "OUT", "value": ".."}], "$(OUT)", "true")
    sub_path(pods, "absolute", [{"name": "OUT", "value": "/tmp"}], "$(OUT)", "true")
    annotated = field("ANNOTATION", "metadata.annotations['mysubpath']")
    sub_path(
        pods, "later", [POD_NAME, annotated], "$(ANNOTATION)/$(POD_NAME)", FOREVER,
        annotations={"notmysubpath": "mypath"},
    )  # fmt: skip
    sub_path(
        pods, "writes", [POD_NAME, annotated], "$(ANNOTATION)/$(POD_NAME)", FOREVER,
        annotations={"mysubpath": "mypath"},
    )  # fmt: skip


def test_configmap_from_environment_field(pods: Pods) -> None:
    assert lines(pods.output("config-key"))["CONFIG_DATA_1"] == "value-1"


def test_configmap_from_environment_variables(pods: Pods) -> None:
    found = lines(pods.output("config-all"))
    for prefix in ("", "p_"):
        assert found[f"{prefix}data_1"] == "value-1" and found[f"{prefix}data_2"] == "value-2"


def test_secrets_pod_environment_field(pods: Pods) -> None:
    assert lines(pods.output("secret-all"))["SECRET_DATA"] == "secret-1"


def test_secrets_pod_environment_from_source(pods: Pods) -> None:
    found = lines(pods.output("secret-all"))
    for prefix in ("", "p_"):
        assert found[f"{prefix}data_1"] == "secret-1" and found[f"{prefix}data_2"] == "secret-2"


def test_secrets_pod_environment_from_source_with_prefixes_of_printable_characters(pods: Pods) -> None:
    found = pods.output("secret-prefixes").split("\0")
    for prefix in PREFIXES:
        assert f"{prefix}data_1=secret-1" in found and f"{prefix}data_2=secret-2" in found


def test_downwardapi_environment_for_name_namespace_and_ip(pods: Pods) -> None:
    status = pods.ended("fields")["status"]
    found = lines(pods.log("fields"))
    assert found["POD_NAME"] == "fields" and found["POD_NAMESPACE"] == pods.namespace
    assert found["POD_IP"] == status["podIP"]


def test_downwardapi_environment_for_host_ip(pods: Pods) -> None:
    status = pods.ended("fields")["status"]
    assert lines(pods.log("fields"))["HOST_IP"] == status["hostIP"]


def test_downwardapi_environment_for_hostips(pods: Pods) -> None:
    status = pods.ended("fields")["status"]
    assert lines(pods.log("fields"))["HOST_IPS"] == ",".join(each["ip"] for each in status["hostIPs"])


def test_downwardapi_environment_for_pod_uid(pods: Pods) -> None:
    uid = pods.ended("fields")["metadata"]["uid"]
    assert lines(pods.log("fields"))["POD_UID"] == uid


def test_downwardapi_environment_for_cpu_and_memory_limits_and_requests(pods: Pods) -> None:
    found = lines(pods.output("amounts"))
    assert (found["CPU_LIMIT"], found["CPU_REQUEST"]) == ("2", "1")
    assert (found["MEMORY_LIMIT"], found["MEMORY_REQUEST"]) == (str(64 << 20), str(32 << 20))


def test_downwardapi_environment_for_default_cpu_and_memory_limits_and_requests(pods: Pods) -> None:
    found = lines(pods.output("default-amounts"))
    assert (found["CPU_LIMIT"], found["MEMORY_LIMIT"]) == ("4", str(4 << 30))  # what the node has


def test_environment_variables_expansion(pods: Pods) -> None:
    found = lines(pods.output("composed"))
    assert found["FOOBAR"] == "foo-value;;bar-value" and found["KEPT"] == "$(FOO) $(NONE)"


def test_environment_variables_command_expansion(pods: Pods) -> None:
    assert pods.output("expanded") == "test-value\n"


def test_environment_variables_command_argument_expansion(pods: Pods) -> None:
    assert pods.output("expanded-arguments") == "test-value\n"


def test_pods_service_environment_variables(pods: Pods) -> None:
    found = lines(pods.output("services"))
    address = pods.core.read_namespaced_service("fooservice", pods.namespace).spec.cluster_ip
    assert found["FOOSERVICE_SERVICE_HOST"] == address and found["FOOSERVICE_SERVICE_PORT"] == "8765"
    assert found["FOOSERVICE_PORT"] == found["FOOSERVICE_PORT_8765_TCP"] == f"tcp://{address}:8765"
    assert found["FOOSERVICE_PORT_8765_TCP_PORT"] == "8765"
    assert found["FOOSERVICE_PORT_8765_TCP_PROTO"] == "tcp"
    assert found["FOOSERVICE_PORT_8765_TCP_ADDR"] == address


def test_volumesubpathenvexpansion_subpath_expansion(pods: Pods) -> None:
    assert pods.output("sub-path") == "/expanded\n"


def refused(pods: Pods, name: str, why: str) -> None:
    until(lambda: any(why in text for text in pods.events(name, "Failed")), 60, "its refusal")
    assert not running(pods.get(name)) and pods.get(name)["status"]["phase"] == "Pending"


def test_volumesubpathenvexpansion_subpath_with_backticks(pods: Pods) -> None:
    refused(pods, "outside", "unable to provision SubPath")


def test_volumesubpathenvexpansion_subpath_with_absolute_path(pods: Pods) -> None:
    refused(pods, "absolute", "SubPath `/tmp` must not be an absolute path")


def test_volumesubpathenvexpansion_subpath_ready_from_failed_state(pods: Pods) -> None:
    refused(pods, "later", "missing value for ANNOTATION")
    pods.patch("later", {"metadata": {"annotations": {"mysubpath": "mypath"}}})
    pods.ready("later")
    assert pods.exec("later", "test -d /whole/mypath/later && echo there") == "there\n"
    pods.delete("later")
    pods.gone("later")


def test_volumesubpathenvexpansion_subpath_test_writes(pods: Pods) -> None:
    pods.ready("writes")
    pods.exec("writes", "echo written > /expanded/test.log")
    assert pods.exec("writes", "cat /whole/mypath/writes/test.log") == "written\n"
    # What it expands to now is of no matter to the volume's end.
    pods.patch("writes", {"metadata": {"annotations": {"mysubpath": "mynewpath"}}})
    pods.exec("writes", "echo more >> /expanded/test.log")
    assert pods.exec("writes", "cat /whole/mypath/writes/test.log") == "written\nmore\n"
    assert condition(pods.get("writes"), "Ready") == "True"
    pods.delete("writes")
    pods.gone("writes")
