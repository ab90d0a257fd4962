"""Kubernetes's own kinds of values in CEL: quantities, IP addresses and CIDRs, URLs, semantic versions, formats."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from apimachinery import names
from apimachinery.quantity import Quantity
from apimachinery.structural.formats import FORMATS

Value = dict[str, Any]
_QUANTITY, _IP, _CIDR, _URL, _SEMVER, _FORMAT = (
    f"kubernetes.{name}" for name in ("Quantity", "IP", "CIDR", "URL", "Semver", "NamedFormat")
)
_MARKS = (_QUANTITY, _IP, _CIDR, _URL, _SEMVER, _FORMAT)


def is_marked(value: Value) -> bool:
    """Whether a map stands for a value of one of these kinds."""
    return len(value) == 1 and next(iter(value)) in _MARKS


def text(value: Value) -> str:
    if is_marked(value):
        return str(next(iter(value.values())))
    raise ValueError("no such overload")


def _valid(parse: Callable[..., Any]) -> Callable[..., bool]:
    def check(*given: Any) -> bool:
        try:
            parse(*given)
        except (ValueError, KeyError):
            return False
        return True

    return check


# Quantities


def quantity(given: str) -> Value:
    Quantity.parse(given)
    return {_QUANTITY: given}


def _amount(value: Any) -> Quantity:
    if isinstance(value, int):
        return Quantity.from_int(value)
    return Quantity.parse(value[_QUANTITY])


def quantity_sign(value: Value) -> int:
    zero, amount = Quantity.from_int(0), _amount(value)
    return (amount > zero) - (amount < zero)


def _compared(left: Value, right: Value) -> int:
    if _SEMVER in left:
        a, b = _semver_key(left[_SEMVER]), _semver_key(right[_SEMVER])
        return (a > b) - (a < b)
    first, second = _amount(left), _amount(right)
    return (first > second) - (first < second)


def _as_integer(value: Value) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return _amount(value).value()


def _is_integer(value: Value) -> bool:
    amount = _amount(value)
    return amount == Quantity.from_int(amount.value())


def _as_float(value: Value) -> float:
    return float(_amount(value).milli()) / 1000


# Addresses


def ip(given: Any) -> Value:
    if isinstance(given, dict):
        return {_IP: given[_CIDR].partition("/")[0]}
    if "%" in given or (":" in given and "." in given):
        raise ValueError(f"IP Address {given!r} parse error during conversion from string: not allowed")
    ipaddress.ip_address(given)
    return {_IP: given}


def cidr(given: str) -> Value:
    if "/" not in given:
        raise ValueError(f"network address parse error during conversion from string: {given!r}")
    ipaddress.ip_interface(given)
    return {_CIDR: given}


def _address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(value if isinstance(value, str) else value[_IP])


def _network(value: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(value if isinstance(value, str) else value[_CIDR], strict=False)


def _contains_cidr(outer: Value, inner: Any) -> bool:
    a, b = _network(outer), _network(inner)
    return a.version == b.version and b.subnet_of(a)  # type: ignore[arg-type]


def _masked(value: Value) -> Value:
    return {_CIDR: str(_network(value))}


# URLs


def url(given: str) -> Value:
    parts = urlsplit(given)
    if not parts.scheme and not given.startswith("/"):
        raise ValueError(
            f"URL parse error during conversion from string: parse {given!r}: invalid URI for request"
        )
    return {_URL: given}


def _url(value: Value) -> Any:
    return urlsplit(value[_URL])


# Versions

_SEMVER_TEXT = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII
)


def semver(given: str, normalize: bool = False) -> Value:
    if normalize:
        given = given.removeprefix("v")
        given += ".0" * max(0, 2 - given.count("."))
    if _SEMVER_TEXT.fullmatch(given) is None:
        raise ValueError(f"invalid semantic version: {given}")
    return {_SEMVER: given}


def _semver_key(given: str) -> tuple[Any, ...]:
    match = _SEMVER_TEXT.fullmatch(given)
    if match is None:
        raise ValueError(f"invalid semantic version: {given}")
    before = match[4]
    parts = (
        tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in before.split(".")) if before else ()
    )
    return int(match[1]), int(match[2]), int(match[3]), not before, parts


# Formats

_NAMED: dict[str, Callable[[str], list[str]]] = {
    "dns1123Label": names.dns1123_label,
    "dns1123Subdomain": names.dns1123_subdomain,
    "dns1035Label": names.dns1035_label,
    "qualifiedName": names.qualified_name,
    "labelValue": names.label_value,
}
_OPENAPI = {"uri": "uri", "uuid": "uuid", "byte": "byte", "date": "date", "datetime": "date-time"}
FORMAT_NAMES = (*_NAMED, *_OPENAPI)


def problems(named: Value, given: str) -> list[str]:
    """What a named format has against a string."""
    name = named[_FORMAT]
    if name in _NAMED:
        return _NAMED[name](given)
    return [] if FORMATS[_OPENAPI[name]](given) else [f"must be a valid {name}"]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: {_QUANTITY: str(_amount(a) + _amount(b))},
    "asApproximateFloat": _as_float,
    "asInteger": _as_integer,
    "cidr": cidr,
    "compareTo": _compared,
    "containsCIDR": _contains_cidr,
    "containsIP": lambda outer, inner: _address(inner) in _network(outer),
    "family": lambda value: _address(value).version,
    "getEscapedPath": lambda value: _url(value).path,
    "getHost": lambda value: _url(value).netloc.rpartition("@")[2],
    "getHostname": lambda value: _url(value).hostname or "",
    "getPort": lambda value: str(_url(value).port or ""),
    "getQuery": lambda value: parse_qs(_url(value).query, keep_blank_values=True),
    "getScheme": lambda value: _url(value).scheme,
    "ip": ip,
    "ip_isCanonical": lambda given: str(_address(given)) == given,
    "isCIDR": _valid(cidr),
    "isGlobalUnicast": lambda v: (
        not (_address(v).is_multicast or _address(v).is_unspecified or _address(v).is_loopback)
    ),
    "isGreaterThan": lambda a, b: _compared(a, b) > 0,
    "isIP": _valid(ip),
    "isInteger": _is_integer,
    "isLessThan": lambda a, b: _compared(a, b) < 0,
    "isLinkLocalMulticast": lambda v: _address(v).is_multicast and _address(v).is_link_local,
    "isLinkLocalUnicast": lambda v: _address(v).is_link_local and not _address(v).is_multicast,
    "isLoopback": lambda v: _address(v).is_loopback,
    "isQuantity": _valid(quantity),
    "isSemver": _valid(semver),
    "isURL": _valid(url),
    "isUnspecified": lambda v: _address(v).is_unspecified,
    "major": lambda v: _semver_key(v[_SEMVER])[0],
    "masked": _masked,
    "minor": lambda v: _semver_key(v[_SEMVER])[1],
    "patch": lambda v: _semver_key(v[_SEMVER])[2],
    "prefixLength": lambda v: _network(v).prefixlen,
    "quantity": quantity,
    "semver": semver,
    "sub": lambda a, b: {_QUANTITY: str(_amount(a) - _amount(b))},
    "url": url,
    **{f"format_{name}": (lambda name=name: {_FORMAT: name}) for name in FORMAT_NAMES},
}
