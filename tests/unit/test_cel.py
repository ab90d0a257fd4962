"""CEL as Kubernetes extends it: syntax, functions, errors, and rules in schemas."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.cel.program import CompilationError, EvaluationError, compile_expression
from apimachinery.errors import FieldError
from apimachinery.structural import celrules
from apimachinery.structural.celvalues import escaped
from apimachinery.structural.values import ABSENT

Object = dict[str, Any]
SELF = {
    "spec": {
        "replicas": 3,
        "ratio": 0.5,
        "names": ["a", "b"],
        "map": {"k": "v"},
        "items": [{"n": "x", "v": 1}],
    },
    "text": "hello",
}


def evaluate(expression: str) -> Any:
    return compile_expression(expression, frozenset({"self"})).evaluate({"self": SELF})


@pytest.mark.parametrize(
    "expression",
    [
        "self.spec.replicas == 3 && self.spec.ratio < 1",
        "has(self.spec.replicas) && !has(self.spec.missing)",
        "self.spec.?missing.orValue(1) == 1",
        "self.?spec.?replicas.orValue(1) == 3",
        "!self.spec.?missing.deeper.hasValue()",
        "self.spec.map[?'k'].orValue('') == 'v' && self.spec.names[?7].orValue('none') == 'none'",
        "cel.bind(n, self.spec.replicas, n * n) == 9",
        "self.spec.items.all(i, i.v > 0) && self.spec.items.exists_one(i, i.n == 'x')",
        "self.spec.names.map(n, n + '!') == ['a!', 'b!'] && self.spec.names.filter(n, n != 'a') == ['b']",
        "self.spec.map.all(k, self.spec.map[k] == 'v')",
        "'%s has %d of %.1f'.format(['x', 3, 1.25]) == 'x has 3 of 1.2'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && ['a', 'b'].join('-') == 'a-b'",
        "'Hello'.lowerAscii() == 'hello' && 'abc'.substring(1) == 'bc' && ' x '.trim() == 'x'",
        "'banana'.indexOf('an') == 1 && 'banana'.lastIndexOf('an') == 3 && 'a-b'.replace('-', '+') == 'a+b'",
        "'abc 123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2']",
        "self.text.matches('^h.*o$') && 'é'.size() == 1",
        "[1, 2, 3].sum() == 6 && [3, 1].min() == 1 && [3, 1].max() == 3 && [1, 2].isSorted()",
        "math.greatest(1, 5, 3) == 5 && math.least([4, 2]) == 2 && math.abs(-2) == 2",
        "sets.contains([1, 2, 3], [2]) && sets.equivalent([1, 2], [2, 1]) && !sets.intersects([1], [2])",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1k').compareTo(quantity('1000')) == 0",
        "quantity('1500m').sub(quantity('1')).asApproximateFloat() == 0.5",
        "isQuantity('5k') && !isQuantity('5x') && quantity('5k').asInteger() == 5000",
        "ip('10.0.0.1').family() == 4 && isIP('::1') && !isIP('10.0.0.256')",
        "cidr('10.0.0.0/8').containsIP('10.2.3.4') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
        "cidr('192.168.1.5/24').prefixLength() == 24 && isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0')",
        "url('https://example.com:80/a?b=c').getHost() == 'example.com:80' && isURL('https://x/') && !isURL('x')",
        "semver('1.10.0').isGreaterThan(semver('1.9.9')) && semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))",
        "!format.dns1123Label().validate('ok').hasValue() && format.dns1123Label().validate('No').hasValue()",
        "duration('1h') > duration('30m') && timestamp('2020-01-01T00:00:00Z').getFullYear() == 2020",
        "type(self.text) == string && string(true) == 'true' && int('7') == 7 && bool('true')",
        "{'a': 1, 'b': 2}.size() == 2 && 'a' in {'a': 1}",
        "Object{spec: Object.spec{replicas: 1}} == {'spec': {'replicas': 1}}",
        "self.spec.map.all(k, v, k == 'k' && v == 'v') && self.spec.names.exists(i, n, i == 1 && n == 'b')",
        "self.spec.names.existsOne(i, n, n == 'b') && !self.spec.names.all(i, n, i == 0)",
        "self.spec.names.transformList(i, n, n + string(i)) == ['a0', 'b1']",
        "self.spec.names.transformList(i, n, i > 0, n) == ['b']",
        "self.spec.map.transformMap(k, v, v + k) == {'k': 'vk'} && {'a': 1}.transformMap(k, v, v > 1, v) == {}",
        "{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}",
        "[[1], [2]].all(i, l, l.all(j, x, x == i + 1))",
        "self.spec.?replicas.optMap(r, r * 2).orValue(0) == 6 && !self.?none.optMap(r, r).hasValue()",
        "self.?spec.optFlatMap(s, s.?ratio).orValue(1.0) == 0.5",
        "['bb', 'a'].sortBy(s, s.size()) == ['a', 'bb'] && [1, 2].first().value() == 1",
        "[?self.?none, 1] == [1] && {?'a': self.?none, 'b': 1} == {'b': 1}",
        "false ? false : true ? true : false",
        "2 + 3 * 4 - 1 == 13 && -(1 + 1) == -2 && -1 < 0",
        "JSONPatch{op: 'add', path: '/a', value: [1]}.value == [1] && jsonpatch.escapeKey('a/b') == 'a~1b'",
    ],
)  # fmt: skip
def test_expressions_that_are_true(expression: str) -> None:
    assert evaluate(expression) is True


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("self.missing", "no such key: missing"),
        ("1 / 0 == 1", "division by zero"),
        ("'a' + 1", "no such overload"),
        ("url('no url').getHost() == ''", "URL parse error during conversion from string"),
    ],
)
def test_expressions_that_fail(expression: str, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        evaluate(expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("self.x +", "Syntax error"),
        ("other.x", "undeclared reference to 'other'"),
        ("self.names.all(n, m == 1)", "undeclared reference to 'm'"),
        ("unheard(self)", "undeclared reference to 'unheard'"),
        ("self self", "Syntax error"),
        ("(self", "Syntax error"),
        ("cel.bind(x, 1)", "cel.bind"),
    ],
)
def test_expressions_that_are_none(expression: str, words: str) -> None:
    with pytest.raises(CompilationError, match=words):
        compile_expression(expression, frozenset({"self"}))


@given(st.text(alphabet="self.x?[](){}'\",:&|!=<>+- 12", max_size=30))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        program = compile_expression(text, frozenset({"self"}))
        program.evaluate({"self": SELF})
    except ValueError:
        return


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a-b", "a__dash__b"), ("a.b", "a__dot__b"), ("a/b", "a__slash__b"), ("a__b", "a__underscores__b"),
     ("namespace", "__namespace__"), ("plain", "plain")],
)  # fmt: skip
def test_names_of_fields_are_escaped(name: str, expected: str) -> None:
    assert escaped(name) == expected


def problems(rule: Object, new: Any, old: Any = ABSENT, **raw: Any) -> list[str]:
    found: list[FieldError] = []
    schema = {"type": "object", "properties": {"f": {**raw, "x-kubernetes-validations": [rule]}}}
    before = ABSENT if old is ABSENT else {"f": old}
    celrules.validate(found, {"f": new}, schema, "", before, root=True)
    return [str(problem) for problem in found]


def test_rules() -> None:
    rule = {"rule": "self > 1"}
    assert problems(rule, 2, type="integer") == []
    assert problems(rule, 1, type="integer") == ['f: Invalid value: "integer": failed rule: self > 1']
    assert problems({**rule, "message": "more!"}, 1, type="integer") == ['f: Invalid value: "integer": more!']
    assert problems({**rule, "reason": "FieldValueRequired"}, 1, type="integer") == [
        "f: Required value: failed rule: self > 1"
    ]
    # A number is a double, also where JSON has no point.
    assert problems({"rule": "self * 2.0 == 4.0"}, 2, type="number") == []


def test_transition_rules_need_something_to_compare_with() -> None:
    rule = {"rule": "self >= oldSelf"}
    assert problems(rule, 1, type="integer") == []
    assert problems(rule, 1, 2, type="integer") == [
        'f: Invalid value: "integer": failed rule: self >= oldSelf'
    ]
    optional = {"rule": "!oldSelf.hasValue() || self >= oldSelf.value()", "optionalOldSelf": True}
    assert problems(optional, 1, type="integer") == []
    assert len(problems(optional, 1, 2, type="integer")) == 1


def test_what_has_not_changed_may_stay_wrong() -> None:
    assert problems({"rule": "self > 1"}, 0, 0, type="integer") == []


def test_a_rule_that_fails_is_a_problem() -> None:
    found = problems({"rule": "self.x == 1", "message": "x must be 1"}, {}, type="object")
    assert found == ['f: Invalid value: "object": no such key: x evaluating rule: x must be 1']


def test_rules_are_about_fields_that_there_are() -> None:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "a-b": {"type": "integer"},
                    "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "map": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            }
        },
    }

    def refused(rule: str) -> list[str]:
        found: list[FieldError] = []
        celrules.check(found, {**schema, "x-kubernetes-validations": [{"rule": rule}]}, "s")
        return [problem.message for problem in found]

    for rule in (
        "self.spec.a__dash__b > 0",
        "self.spec.open.anything.goes == 1",
        "self.spec.map.key == 'v'",
        "self.metadata.name == 'a' && has(self.kind)",
        "self.spec.map.all(k, self.spec.map[k] == k)",
    ):
        assert refused(rule) == []
    (message,) = refused("self.spec.c > 0")
    assert "compilation failed: ERROR: <input>:1:10: undefined field 'c'" in message
    assert len(refused("has(self.spec.map) && self.nothing")) == 1
