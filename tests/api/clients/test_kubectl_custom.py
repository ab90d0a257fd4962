"""kubectl with a kind of a user's own: it is discovered, explained, printed, validated and scaled as built-in ones."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .kubectls import Kubectl, columns
from .manifests import widgets


@pytest.fixture
def widget(kubectl: Kubectl) -> Iterator[str]:
    """`widget.<group>` of a group of the test's own, with one Widget `w` of size 2."""
    group = f"{kubectl.namespace}.example.com"
    kubectl("apply", "-f", "-", stdin=widgets(group))
    crd = f"crd/widgets.{group}"
    assert kubectl("wait", "--for=condition=Established", crd, "--timeout=30s").endswith("condition met\n")
    assert kubectl("apply", "-f", "-", stdin=manifest(group)) == f"widget.{group}/w created\n"
    yield f"widget.{group}"
    kubectl("delete", crd)
    assert kubectl.run("get", f"widget.{group}").code != 0


def manifest(group: str, **spec: object) -> str:
    return json.dumps(
        {
            "apiVersion": f"{group}/v1",
            "kind": "Widget",
            "metadata": {"name": "w"},
            "spec": {"size": 2, **spec},
        }
    )


def test_a_kind_of_ones_own(kubectl: Kubectl, widget: str) -> None:
    group = widget.partition(".")[2]
    assert columns(kubectl("get", widget)) == [["NAME", "SIZE"], ["w", "2"]]
    assert f"{widget}/w" in kubectl("get", "all")
    explained = kubectl("explain", f"{widget.partition('.')[0]}.spec", f"--api-version={group}/v1")
    assert "size\t<integer> -required-\n    How many.\n" in explained
    assert kubectl("apply", "-f", "-", stdin=manifest(group)) == f"{widget}/w unchanged\n"
    assert kubectl("scale", widget, "w", "--replicas=5") == f"{widget}/w scaled\n"
    assert kubectl("get", widget, "w", "-o", "jsonpath={.spec.size}") == "5"
    edited = kubectl("edit", widget, "w", KUBE_EDITOR="sed -i s/size:.5/size:\\ 7/")
    assert edited == f"{widget}/w edited\n"
    assert "Size:  7" in kubectl("describe", widget, "w")
    merge = ("patch", widget, "w", "--type=merge", "-p")
    assert kubectl(*merge, '{"spec":{"size":3}}') == f"{widget}/w patched\n"
    kubectl("patch", widget, "w", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Done"}}')
    waited = kubectl("wait", widget, "w", "--for=jsonpath={.status.phase}=Done", "--timeout=10s")
    assert waited == f"{widget}/w condition met\n"
    assert kubectl("auth", "can-i", "create", widget) == "yes\n"


def test_what_is_wrong_with_one(kubectl: Kubectl, widget: str) -> None:
    group = widget.partition(".")[2]
    assert kubectl.fails("apply", "-f", "-", stdin=manifest(group, size=0)) == (
        'The Widget "w" is invalid: spec.size: Invalid value: 0: '
        "spec.size in body should be greater than or equal to 1\n"
    )
    unknown = kubectl.fails("apply", "-f", "-", stdin=manifest(group, more=1))
    assert unknown.startswith("The request is invalid: patch: Invalid value: ")
    assert unknown.endswith('strict decoding error: unknown field "spec.more"\n')
    merge = ("patch", widget, "w", "--type=merge", "-p")
    assert kubectl.fails(*merge, '{"spec":{"size":"x"}}') == (
        'The Widget "w" is invalid: spec.size: Invalid value: "string": '
        'spec.size in body must be of type integer: "string"\n'
    )
    assert kubectl.run(*merge, '{"spec":{"more":1}}').err == 'Warning: unknown field "spec.more"\n'
    strategic = kubectl.fails("patch", widget, "w", "-p", '{"spec":{"size":3}}')
    assert "application/strategic-merge-patch+json is not supported by" in strategic
