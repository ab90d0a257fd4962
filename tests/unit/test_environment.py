"""kubeletd.environment: the variables a container sees."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeletd.environment import build, expand, field_value, resource_value, service_links
from kubeletd.interfaces import PodConfigError, PodFacts

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"b": 'q"', "a": "1"}},
    "spec": {
        "serviceAccountName": "sa",
        "containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m"}}}],
    },
}
FACTS = PodFacts(
    pod_ip="10.1.1.2", host_ip="10.1.1.1", node_name="n1", allocatable={"memory": "1Gi", "cpu": "4"}
)
CONFIG = {"data": {"k": "v", "other": "w"}, "binaryData": {"bin": base64.b64encode(b"x").decode()}}
SECRET = {"data": {"password": base64.b64encode(b"hunter2").decode()}}
OBJECTS: dict[tuple[str, str], Any] = {
    ("ConfigMap", "cm"): CONFIG,
    ("Secret", "s"): SECRET,
    ("Secret", "gone"): None,
}


def env_of(**container: Any) -> dict[str, str]:
    return dict(build(POD, {"name": "c", **container}, OBJECTS, {"LINK": "x"}, FACTS))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("$A", "$A"),
        ("a$(A)b$(A)", "a1b1"),
        ("$", "$"),
        ("$(A", "$(A"),
        ("$$$(A)", "$1"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


@given(st.text())
def test_expansion_without_references_changes_nothing(text: str) -> None:
    clean = text.replace("$", "")
    assert expand(clean, {"A": "1"}) == clean


def test_env_from_takes_every_key_and_env_wins() -> None:
    source = [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}]
    env = env_of(envFrom=source, env=[{"name": "P_k", "value": "mine"}])
    assert env == {"LINK": "x", "P_k": "mine", "P_other": "w", "password": "hunter2"}


def test_values_come_from_keys_fields_and_earlier_variables() -> None:
    env = env_of(
        env=[
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
            {"name": "B", "value": "$(A)-$(LINK)-$(C)"},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "zz", "optional": True}}},
        ]
    )
    assert env == {"LINK": "x", "A": "v", "B": "v-x-$(C)", "C": "hunter2", "IP": "10.1.1.2", "CPU": "2"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "gone", "key": "k"}}, 'secret "gone" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "zz"}}, "couldn't find key zz in ConfigMap ns/cm"),
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing"),
    ],
)
def test_what_is_missing_is_named(source: dict[str, Any], message: str) -> None:
    with pytest.raises(PodConfigError) as caught:
        env_of(env=[{"name": "A", "valueFrom": source}])
    assert caught.value.message == message
    assert caught.value.reason == "CreateContainerConfigError"


def test_labels_as_a_field_are_sorted_and_quoted() -> None:
    assert field_value(POD, "metadata.labels", FACTS) == 'a="1"\nb="q\\""'
    assert field_value(POD, "metadata.labels['a']", FACTS) == "1"


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", "1m", "1500"),
        ("limits.cpu", "0", "2"),
        ("limits.memory", "1Mi", "1024"),
        ("requests.memory", "1", "0"),
    ],
)
def test_resource_fields_are_in_units_of_their_divisor(resource: str, divisor: str, expected: str) -> None:
    assert resource_value(POD, {"resource": resource, "divisor": divisor}, "c", FACTS) == expected


def test_service_links() -> None:
    ports = [{"name": "main", "port": 6379, "protocol": "TCP"}]
    services = [
        {"metadata": {"name": "my-redis"}, "spec": {"clusterIP": "10.96.0.7", "ports": ports}},
        {"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": ports}},
    ]
    assert service_links(services) == {
        "MY_REDIS_SERVICE_HOST": "10.96.0.7",
        "MY_REDIS_SERVICE_PORT": "6379",
        "MY_REDIS_SERVICE_PORT_MAIN": "6379",
        "MY_REDIS_PORT": "tcp://10.96.0.7:6379",
        "MY_REDIS_PORT_6379_TCP": "tcp://10.96.0.7:6379",
        "MY_REDIS_PORT_6379_TCP_PROTO": "tcp",
        "MY_REDIS_PORT_6379_TCP_PORT": "6379",
        "MY_REDIS_PORT_6379_TCP_ADDR": "10.96.0.7",
    }
