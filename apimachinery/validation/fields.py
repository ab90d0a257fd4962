"""Checks of single fields. Each adds what is wrong to `errs`, worded as Kubernetes words it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from apimachinery import names
from apimachinery.errors import FieldError, forbidden_field, invalid_value, not_supported, required

Object = dict[str, Any]
Errors = list[FieldError]
NameCheck = Callable[[str], list[str]]

NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than 0"
IMMUTABLE = "field is immutable"
PROTOCOLS = ("SCTP", "TCP", "UDP")
INT32_MAX = 2**31 - 1


def checked(errs: Errors, path: str, value: str, check: NameCheck) -> None:
    """`value` must satisfy a check of `names`."""
    for message in check(value):
        errs.append(invalid_value(path, value, message))


def named(errs: Errors, path: str, value: str | None, check: NameCheck) -> None:
    """`value` must be given and satisfy a check of `names`."""
    if not value:
        errs.append(required(path))
    else:
        checked(errs, path, value, check)


def enum(errs: Errors, path: str, value: Any, supported: Collection[str]) -> None:
    if value not in supported:
        errs.append(not_supported(path, "" if value is None else value, sorted(supported)))


def required_enum(errs: Errors, path: str, value: Any, supported: Collection[str]) -> None:
    if not value:
        errs.append(required(path))
    elif value not in supported:
        errs.append(not_supported(path, value, sorted(supported)))


def not_negative(errs: Errors, path: str, value: int | None) -> None:
    if value is not None and value < 0:
        errs.append(invalid_value(path, value, NOT_NEGATIVE))


def positive(errs: Errors, path: str, value: int | None) -> None:
    if value is not None and value <= 0:
        errs.append(invalid_value(path, value, POSITIVE))


def in_range(errs: Errors, path: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        errs.append(invalid_value(path, value, f"must be between {low} and {high}, inclusive"))


def immutable(errs: Errors, path: str, new: Any, old: Any) -> None:
    """Unset, null and empty are the same here."""
    if (new or None) != (old or None):
        errs.append(invalid_value(path, new, IMMUTABLE))


def port_number(errs: Errors, path: str, value: int) -> None:
    if not 1 <= value <= 65535:
        errs.append(invalid_value(path, value, "must be between 1 and 65535, inclusive"))


def port_or_name(errs: Errors, path: str, value: int | str | None) -> None:
    if isinstance(value, str):
        for message in names.port_name(value):
            errs.append(invalid_value(path, value, message))
    else:
        port_number(errs, path, value or 0)


_PERCENT = re.compile("[0-9]+%", re.ASCII)
_PERCENT_TEXT = names.regex_message(
    "a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", "1%", "93%"
)


def int_or_percent(errs: Errors, path: str, value: int | str | None) -> None:
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            errs.append(invalid_value(path, value, _PERCENT_TEXT))
    else:
        not_negative(errs, path, value)


def at_most_all(errs: Errors, path: str, value: int | str | None) -> None:
    """A percentage must not be above 100."""
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        errs.append(invalid_value(path, value, "must not be greater than 100%"))


IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


@lru_cache(maxsize=8192)
def ip_version(value: str) -> int:
    """4 or 6; 0 where `value` is no address."""
    try:
        version = ipaddress.ip_address(value).version
    except ValueError:
        return 0
    return 0 if "%" in value else version


def is_ip(value: str) -> bool:
    return ip_version(value) != 0


def ip(errs: Errors, path: str, value: str) -> None:
    if not is_ip(value):
        errs.append(invalid_value(path, value, IP_TEXT))


@lru_cache(maxsize=8192)
def _special(value: str) -> tuple[str, ...]:
    """Why no traffic from elsewhere can have this address: unspecified, loopback or link-local."""
    address = ipaddress.ip_address(value)
    problems = []
    if address.is_unspecified:
        problems.append(f"may not be unspecified ({value})")
    if address.is_loopback:
        problems.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        problems.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address in _LINK_LOCAL_MULTICAST[address.version]:
        problems.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(problems)


_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}


def not_special(errs: Errors, path: str, value: str) -> None:
    """`value` must be an address that traffic from elsewhere can have."""
    for problem in _special(value):
        errs.append(invalid_value(path, value, problem))


def cidr(errs: Errors, path: str, value: str) -> None:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        errs.append(invalid_value(path, value, CIDR_TEXT))
        return
    if "/" not in value:
        errs.append(invalid_value(path, value, CIDR_TEXT))


def labels(errs: Errors, path: str, values: Mapping[str, str] | None) -> None:
    for key, value in (values or {}).items():
        for message in names.qualified_name(key):
            errs.append(invalid_value(path, key, message))
        for message in names.label_value(value):
            errs.append(invalid_value(path, value, message))


def label_name(errs: Errors, path: str, value: str) -> None:
    checked(errs, path, value, names.qualified_name)


_SET_TEXT = "must be specified when `operator` is 'In' or 'NotIn'"
_EXISTS_TEXT = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
_OPERATOR_TEXT = "not a valid selector operator"


def label_selector(errs: Errors, path: str, selector: Mapping[str, Any] | None) -> None:
    if not selector:
        return
    labels(errs, f"{path}.matchLabels", selector.get("matchLabels"))
    for i, expression in enumerate(selector.get("matchExpressions") or ()):
        here = f"{path}.matchExpressions[{i}]"
        operator, values = expression.get("operator") or "", expression.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                errs.append(required(f"{here}.values", _SET_TEXT))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errs.append(forbidden_field(f"{here}.values", _EXISTS_TEXT))
        else:
            errs.append(invalid_value(f"{here}.operator", operator, _OPERATOR_TEXT))
        label_name(errs, f"{here}.key", expression.get("key") or "")
        for j, value in enumerate(values):
            checked(errs, f"{here}.values[{j}]", value, names.label_value)


def node_selector(errs: Errors, path: str, selector: Mapping[str, Any]) -> None:
    """A NodeSelector: terms of label expressions and `metadata.name` fields."""
    terms = selector.get("nodeSelectorTerms")
    if not terms:
        errs.append(required(f"{path}.nodeSelectorTerms", "must have at least one node selector term"))
    for i, term in enumerate(terms or ()):
        node_selector_term(errs, f"{path}.nodeSelectorTerms[{i}]", term)


def node_selector_term(errs: Errors, path: str, term: Mapping[str, Any], *, preferred: bool = False) -> None:
    """One term; a preferred one may name values that no label can have."""
    for i, expression in enumerate(term.get("matchExpressions") or ()):
        here = f"{path}.matchExpressions[{i}]"
        operator, values = expression.get("operator") or "", expression.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                errs.append(required(f"{here}.values", _SET_TEXT))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errs.append(forbidden_field(f"{here}.values", _EXISTS_TEXT))
        elif operator in ("Gt", "Lt"):
            if len(values) != 1:
                text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                errs.append(required(f"{here}.values", text))
        else:
            errs.append(invalid_value(f"{here}.operator", operator, _OPERATOR_TEXT))
        label_name(errs, f"{here}.key", expression.get("key") or "")
        if not preferred:
            for j, value in enumerate(values):
                checked(errs, f"{here}.values[{j}]", value, names.label_value)
    for i, expression in enumerate(term.get("matchFields") or ()):
        here = f"{path}.matchFields[{i}]"
        if expression.get("operator") not in ("In", "NotIn"):
            errs.append(invalid_value(f"{here}.operator", expression.get("operator") or "", _OPERATOR_TEXT))
        elif len(expression.get("values") or ()) != 1:
            text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errs.append(required(f"{here}.values", text))
        if expression.get("key") != "metadata.name":
            text = "not a valid field selector key"
            errs.append(invalid_value(f"{here}.key", expression.get("key") or "", text))
            continue
        for j, value in enumerate(expression.get("values") or ()):
            checked(errs, f"{here}.values[{j}]", value, names.dns1123_subdomain)


def relative_path(errs: Errors, path: str, value: str) -> None:
    """A path that stays below where it starts."""
    if value.startswith("/"):
        errs.append(invalid_value(path, value, "must be a relative path"))
    no_backsteps(errs, path, value)


def no_backsteps(errs: Errors, path: str, value: str) -> None:
    if ".." in value.split("/"):
        errs.append(invalid_value(path, value, "must not contain '..'"))


def file_mode(errs: Errors, path: str, value: int | None) -> None:
    if value is not None and not 0 <= value <= 0o777:
        text = "must be a number between 0 and 0777 (octal), both inclusive"
        errs.append(invalid_value(path, value, text))


def domain_prefixed_path(errs: Errors, path: str, value: str) -> None:
    """A DNS subdomain, a slash, and a path, such as `acme.io/foo`."""
    domain, slash, rest = value.partition("/")
    if not value:
        errs.append(required(path))
    elif not slash or not domain or not rest:
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        errs.append(invalid_value(path, value, text))
    else:
        for message in names.dns1123_subdomain(domain):
            errs.append(invalid_value(path, domain, message))
        if not _PATH.fullmatch(rest):
            text = names.regex_message("Invalid path", _PATH.pattern)
            errs.append(invalid_value(path, rest, text))


_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", re.ASCII)
_FORM = "; desired format: https://host[/path]"


def webhook_url(errs: Errors, path: str, value: str) -> None:
    try:
        url = urlsplit(value)
    except ValueError as e:
        errs.append(required(path, f"url must be a valid URL: {e}{_FORM}"))
        return
    user, at, host = url.netloc.rpartition("@")
    if url.scheme != "https":
        text = "'https' is the only allowed URL scheme" + _FORM
        errs.append(invalid_value(path, url.scheme, text))
    if not host:
        errs.append(invalid_value(path, host, "host must be specified" + _FORM))
    if at:
        errs.append(invalid_value(path, user, "user information is not permitted in the URL"))
    if url.fragment:
        errs.append(invalid_value(path, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        errs.append(invalid_value(path, url.query, "query parameters are not permitted in the URL"))


def service_reference(errs: Errors, path: str, reference: Mapping[str, Any]) -> None:
    """The in-cluster service of a webhook."""
    for field in ("name", "namespace"):
        if not reference.get(field):
            errs.append(required(f"{path}.{field}"))
    port_number(errs, f"{path}.port", reference.get("port", 443))
    where = reference.get("path")
    if not where or where == "/":
        return
    if not where.startswith("/"):
        errs.append(invalid_value(f"{path}.path", where, "must start with a '/'"))
        return
    for i, step in enumerate(where[1:].removesuffix("/").split("/")):
        if not step:
            errs.append(invalid_value(f"{path}.path", where, f"segment[{i}] may not be empty"))
            continue
        for message in names.dns1123_subdomain(step):
            errs.append(invalid_value(f"{path}.path", where, f"segment[{i}]: {message}"))
