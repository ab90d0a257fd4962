"""CEL before it is evaluated: types of expressions, and what they can cost at most."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import schema
from apimachinery.cel import checker, cost
from apimachinery.cel.declarations import overloads
from apimachinery.cel.library import FUNCTIONS
from apimachinery.cel.program import KNOWN
from apimachinery.cel.syntax import SyntaxProblem, parse
from apimachinery.errors import FieldError
from apimachinery.structural import celrules, celtypes

Object = dict[str, Any]
SCHEMA: Object = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "ratio": {"type": "number"},
        "name": {"type": "string", "maxLength": 10},
        "when": {"type": "string", "format": "date-time"},
        "port": {"x-kubernetes-int-or-string": True},
        "names": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 10}},
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"value": {"type": "integer"}}},
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
SELF = {"self": celtypes.of(SCHEMA, root=True)}


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("self.replicas + 1", "int"),
        ("self.ratio < self.replicas", "bool"),
        ("self.when - duration('1h')", "timestamp"),
        ("self.port", "dyn"),
        ("self.open.anything[0].at.all", "dyn"),
        ("self.names.map(n, size(n))", "list(int)"),
        ("self.items.filter(i, i.value > 1)", "list(object)"),
        ("self.labels.transformMap(k, v, size(v))", "map(string, int)"),
        ("self.names.transformList(i, n, i)", "list(int)"),
        ("self.?name.orValue('')", "string"),
        ("self.?name.optMap(n, size(n))", "optional_type(int)"),
        ("cel.bind(n, self.name, n.split(','))", "list(string)"),
        ("self.metadata.name", "string"),
        ("true ? 1 : 2", "int"),
        ("quantity('1').add(1)", "kubernetes.Quantity"),
        ("{'a': 1}", "map(string, int)"),
        ("type(1) == int", "bool"),
    ],
)
def test_expressions_have_types(expression: str, kind: str) -> None:
    checked = checker.check(expression, SELF)
    assert checked.problems == []
    assert str(checked.result) == kind


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("self.nothing", "undefined field 'nothing'"),
        ("self.items.exists(i, i.nothing)", "undefined field 'nothing'"),
        ("self.replicas == 'a'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.replicas.startsWith('a')", "found no matching overload for 'startsWith' applied to 'int.(string)'"),
        ("self.names[self.name]", "found no matching overload for '_[_]' applied to '(list(string), string)'"),
        ("self.replicas.all(x, true)", "cannot be range of a comprehension"),
        ("self.names.all(n, size(n))", "expected type 'bool' but found 'int'"),
        ("self.name.first", "type 'string' does not support field selection"),
        ("nobody", "undeclared reference to 'nobody'"),
        ("self.unheard()", "undeclared reference to 'unheard'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found(expression: str, problem: str) -> None:
    broken, _ = checker.problems(expression, SELF)
    assert problem in broken


def test_results_are_of_the_wanted_type() -> None:
    assert checker.problems("self.replicas", SELF, ("bool",)) == ("", "bool")
    assert checker.problems("1", SELF, ("string", "null_type")) == ("", "one of [string null_type]")
    assert checker.problems("self.port", SELF, ("bool",)) == ("", "")


def test_problems_are_shown_where_they_are() -> None:
    broken, _ = checker.problems("true &&\n  self.nothing", SELF)
    assert broken == "ERROR: <input>:2:7: undefined field 'nothing'\n |   self.nothing\n | ......^"


def test_built_in_kinds_have_types() -> None:
    node = schema.for_kind("apps/v1", "Deployment")
    assert node is not None
    scope = {"object": celtypes.of_schema(node)}
    for expression in (
        "object.spec.replicas > 1",
        "object.spec.template.spec.containers.all(c, c.image.contains('/') && has(c.resources.limits))",
        "object.metadata.?labels['app'].orValue('') == ''",
        "object.metadata.creationTimestamp < timestamp('2026-01-01T00:00:00Z')",
    ):
        assert checker.problems(expression, scope, ("bool",)) == ("", "")
    assert "undefined field 'replica'" in checker.problems("object.spec.replica > 1", scope)[0]


def test_every_declared_function_can_be_called() -> None:
    operators = {name for name in overloads() if name.startswith(("_", "@", "!", "-"))}
    for name in overloads().keys() - operators:
        assert name.replace(".", "_") in FUNCTIONS or name.rpartition(".")[2] in KNOWN | {"first", "last"}


def test_costs_grow_with_what_is_looked_at() -> None:
    def most(expression: str) -> int:
        return cost.most(checker.check(expression, SELF))

    assert most("1 == 1") < most("self.replicas == 1") < most("self.names.all(n, n == 'a')")
    assert most("self.names.all(n, n == 'a')") < 100
    assert most("self.items.all(i, i.value > 1)") > 1_000_000
    nested = most("self.names.all(a, self.names.all(b, a == b))")
    assert most("self.names.all(n, n == 'a')") < nested < 1000


def refused(raw: Object) -> list[str]:
    found: list[FieldError] = []
    celrules.check(found, raw, "schema")
    return [str(problem) for problem in found]


def test_rules_that_cost_too_much_are_refused_and_bounds_help() -> None:
    def with_rule(**bounds: int) -> Object:
        items = {"type": "string", **({"maxLength": bounds["length"]} if "length" in bounds else {})}
        names: Object = {"type": "array", "items": items}
        if "items" in bounds:
            names["maxItems"] = bounds["items"]
        rule = {"rule": "self.names.all(a, self.names.exists_one(b, a == b))"}
        return {"type": "object", "properties": {"names": names}, "x-kubernetes-validations": [rule]}

    problem, total = refused(with_rule())
    assert total.startswith(
        "schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire"
    )
    assert problem.startswith(
        "schema.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds"
    )
    assert "by factor of more than 100x (try simplifying the rule" in problem
    assert refused(with_rule(items=10, length=100)) == []


def test_rules_of_items_count_as_often_as_there_can_be_items() -> None:
    item = {
        "type": "string",
        "maxLength": 100,
        "x-kubernetes-validations": [{"rule": "self.matches('^[a-z]+$')"}],
    }
    assert (
        refused({"type": "object", "properties": {"few": {"type": "array", "maxItems": 10, "items": item}}})
        == []
    )
    [problem] = refused({"type": "object", "properties": {"many": {"type": "array", "items": item}}})
    assert "exceeds budget by factor of" in problem


@given(st.text(alphabet="self.x?[](){}'\",:&|!=<>+- 12`u", max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        checker.check(text, SELF)
    except SyntaxProblem as problem:
        assert 0 <= problem.at <= len(text)


def test_expressions_may_be_long() -> None:
    assert checker.problems(" || ".join(f"self.replicas == {n}" for n in range(800)), SELF) == ("", "")


def test_expressions_may_not_be_endlessly_deep() -> None:
    for text in ("(" * 5000 + "1" + ")" * 5000, "!" * 5000 + "true", "[" * 5000):
        with pytest.raises(SyntaxProblem):
            parse(text)
