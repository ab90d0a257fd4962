"""The functions of Kubernetes's CEL and the types they take and give. Pure.

Written as in the documentation of the libraries: a receiver before the dot; A and B stand for any type.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from apimachinery.cel.types import DYN, Type

_TEXT = """
_==_(A, A) bool; _!=_(A, A) bool; !_(bool) bool; _&&_(bool, bool) bool; _||_(bool, bool) bool; _?_:_(bool, A, A) A
-_(int) int; -_(double) double
@in(A, list<A>) bool; @in(A, map<A, B>) bool
_+_(int, int) int; _+_(uint, uint) uint; _+_(double, double) double; _+_(string, string) string
_+_(bytes, bytes) bytes; _+_(list<A>, list<A>) list<A>; _+_(timestamp, duration) timestamp
_+_(duration, timestamp) timestamp; _+_(duration, duration) duration
_-_(int, int) int; _-_(uint, uint) uint; _-_(double, double) double; _-_(duration, duration) duration
_-_(timestamp, timestamp) duration; _-_(timestamp, duration) timestamp
_*_(int, int) int; _*_(uint, uint) uint; _*_(double, double) double
_/_(int, int) int; _/_(uint, uint) uint; _/_(double, double) double; _%_(int, int) int; _%_(uint, uint) uint
size(string) int; size(bytes) int; size(list<A>) int; size(map<A, B>) int
string.size() int; bytes.size() int; list<A>.size() int; map<A, B>.size() int
int(A) int; uint(A) uint; double(A) double; string(A) string; bytes(A) bytes; bool(A) bool; dyn(A) dyn; type(A) type
timestamp(A) timestamp; duration(A) duration
string.contains(string) bool; string.startsWith(string) bool; string.endsWith(string) bool
string.matches(string) bool; matches(string, string) bool
string.charAt(int) string; string.indexOf(string) int; string.indexOf(string, int) int
string.lastIndexOf(string) int; string.lastIndexOf(string, int) int; string.lowerAscii() string
string.upperAscii() string; string.replace(string, string) string; string.replace(string, string, int) string
string.split(string) list<string>; string.split(string, int) list<string>; string.substring(int) string
string.substring(int, int) string; string.trim() string; string.reverse() string; strings.quote(string) string
list<string>.join() string; list<string>.join(string) string; string.format(list<dyn>) string
string.find(string) string; string.findAll(string) list<string>; string.findAll(string, int) list<string>
list<A>.isSorted() bool; list<A>.sum() A; list<A>.min() A; list<A>.max() A; list<A>.indexOf(A) int
list<A>.lastIndexOf(A) int; list<A>.distinct() list<A>; list<A>.reverse() list<A>; list<A>.sort() list<A>
list<A>.slice(int, int) list<A>; list<A>.flatten() list<dyn>; list<A>.flatten(int) list<dyn>
list<A>.first() optional<A>; list<A>.last() optional<A>; lists.range(int) list<int>
sets.contains(list<A>, list<A>) bool; sets.equivalent(list<A>, list<A>) bool; sets.intersects(list<A>, list<A>) bool
base64.encode(bytes) string; base64.decode(string) bytes
math.ceil(double) double; math.floor(double) double; math.round(double) double; math.trunc(double) double
math.abs(A) A; math.sign(A) A; math.sqrt(A) double; math.isNaN(double) bool; math.isInf(double) bool
math.isFinite(double) bool; math.bitAnd(A, A) A; math.bitOr(A, A) A; math.bitXor(A, A) A; math.bitNot(A) A
math.bitShiftLeft(A, int) A; math.bitShiftRight(A, int) A
timestamp.getDate() int; timestamp.getDayOfMonth() int; timestamp.getDayOfWeek() int; timestamp.getDayOfYear() int
timestamp.getFullYear() int; timestamp.getHours() int; timestamp.getMilliseconds() int; timestamp.getMinutes() int
timestamp.getMonth() int; timestamp.getSeconds() int; timestamp.getDate(string) int
timestamp.getDayOfMonth(string) int; timestamp.getDayOfWeek(string) int; timestamp.getDayOfYear(string) int
timestamp.getFullYear(string) int; timestamp.getHours(string) int; timestamp.getMilliseconds(string) int
timestamp.getMinutes(string) int; timestamp.getMonth(string) int; timestamp.getSeconds(string) int
duration.getHours() int; duration.getMilliseconds() int; duration.getMinutes() int; duration.getSeconds() int
optional.of(A) optional<A>; optional.none() optional<A>; optional.ofNonZeroValue(A) optional<A>
optional<A>.hasValue() bool; optional<A>.value() A; optional<A>.orValue(A) A; optional<A>.or(optional<A>) optional<A>
url(string) URL; isURL(string) bool; URL.getScheme() string; URL.getHost() string; URL.getHostname() string
URL.getPort() string; URL.getEscapedPath() string; URL.getQuery() map<string, list<string>>
quantity(string) Quantity; isQuantity(string) bool; Quantity.isInteger() bool; Quantity.asInteger() int
Quantity.asApproximateFloat() double; Quantity.sign() int; Quantity.add(Quantity) Quantity; Quantity.add(int) Quantity
Quantity.sub(Quantity) Quantity; Quantity.sub(int) Quantity; Quantity.compareTo(Quantity) int
Quantity.isLessThan(Quantity) bool; Quantity.isGreaterThan(Quantity) bool
ip(string) IP; isIP(string) bool; ip.isCanonical(string) bool; IP.family() int; IP.isUnspecified() bool
IP.isLoopback() bool; IP.isLinkLocalMulticast() bool; IP.isLinkLocalUnicast() bool; IP.isGlobalUnicast() bool
cidr(string) CIDR; isCIDR(string) bool; CIDR.containsIP(IP) bool; CIDR.containsIP(string) bool
CIDR.containsCIDR(CIDR) bool; CIDR.containsCIDR(string) bool; CIDR.ip() IP; CIDR.masked() CIDR
CIDR.prefixLength() int
semver(string) Semver; semver(string, bool) Semver; isSemver(string) bool; isSemver(string, bool) bool
Semver.major() int; Semver.minor() int; Semver.patch() int; Semver.compareTo(Semver) int
Semver.isLessThan(Semver) bool; Semver.isGreaterThan(Semver) bool
NamedFormat.validate(string) optional<list<string>>
Authorizer.path(string) PathCheck; PathCheck.check(string) Decision; Authorizer.group(string) GroupCheck
Authorizer.serviceAccount(string, string) Authorizer; GroupCheck.resource(string) ResourceCheck
ResourceCheck.subresource(string) ResourceCheck; ResourceCheck.namespace(string) ResourceCheck
ResourceCheck.name(string) ResourceCheck; ResourceCheck.fieldSelector(string) ResourceCheck
ResourceCheck.labelSelector(string) ResourceCheck; ResourceCheck.check(string) Decision; Decision.allowed() bool
Decision.errored() bool; Decision.error() string; Decision.reason() string
jsonpatch.escapeKey(string) string
"""
_ORDERED = ("bool", "string", "bytes", "timestamp", "duration")
_NUMBERS = ("int", "uint", "double")
#: Functions that take any number of arguments, or formats by name: nothing is said of them but what they give.
_FREE = {"math.greatest": DYN, "math.least": DYN}
_KIND_LIST = "bool int uint double bool string bytes null_type timestamp duration type dyn list map optional"
_KINDS = frozenset(_KIND_LIST.split())
_PIECE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[<>,]")


class Overload(NamedTuple):
    """`member`: whether the first of `args` is the receiver."""

    member: bool
    args: tuple[Type, ...]
    result: Type


def _type(text: str) -> Type:
    pieces = _PIECE.findall(text)

    def read() -> Type:
        name = pieces.pop(0)
        params: list[Type] = []
        if pieces and pieces[0] == "<":
            while pieces.pop(0) != ">":
                params.append(read())
        if name in ("A", "B"):
            return Type("param", name=name)
        if name not in _KINDS:
            return Type("opaque", name=f"kubernetes.{name}")
        return Type(name, tuple(params))

    return read()


def opaque(name: str) -> Type:
    """A type that Kubernetes adds."""
    return Type("opaque", name=f"kubernetes.{name}")


def _split(text: str) -> list[str]:
    """Types between commas that are not within brackets."""
    return [part for part in re.split(r",\s*(?![^<]*>)", text) if part]


_SPACES = frozenset({"strings", "lists", "sets", "base64", "math", "optional", "ip", "jsonpatch"})


@cache
def overloads() -> dict[str, list[Overload]]:
    """By name; functions with a namespace have it in the name (`math.abs`), operators are `_+_`."""
    found: dict[str, list[Overload]] = {}
    for line in re.split(r"[;\n]", _TEXT):
        line = line.strip()
        if not line:
            continue
        head, _, result = line.rpartition(") ")
        name, _, args = head.partition("(")
        receiver, dot, method = name.rpartition(".")
        given = [_type(part) for part in _split(args)]
        member = bool(dot) and receiver not in _SPACES
        if member:
            given.insert(0, _type(receiver))
            name = method
        found.setdefault(name, []).append(Overload(member, tuple(given), _type(result)))
    for operator in ("_<_", "_<=_", "_>_", "_>=_"):
        pairs = [(kind, kind) for kind in _ORDERED] + [(a, b) for a in _NUMBERS for b in _NUMBERS]
        found[operator] = [Overload(False, (Type(a), Type(b)), Type("bool")) for a, b in pairs]
    return found


def free(name: str) -> Type | None:
    """What a function gives of which nothing else is said; None where that is not so."""
    if name.startswith("format."):
        return opaque("NamedFormat")
    return _FREE.get(name)
