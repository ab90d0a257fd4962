"""What names may look like: each check returns the list of what is wrong, in Kubernetes's words (empty: nothing)."""

from __future__ import annotations

import re
from functools import lru_cache

DNS1123_LABEL_MAX = 63
DNS1123_SUBDOMAIN_MAX = 253
DNS1035_LABEL_MAX = 63
LABEL_VALUE_MAX = 63

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = "(" + _QUALIFIED + ")?"
_WILDCARD = r"\*\." + _SUBDOMAIN
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HTTP_HEADER = "[-A-Za-z0-9]+"
_PORT_NAME = re.compile("[-a-z0-9]+")

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)

EMPTY = "must be non-empty"


def max_length(length: int) -> str:
    return f"must be no more than {length} characters"


def regex_message(text: str, pattern: str, *examples: str) -> str:
    """`text`, examples, and the pattern it must match, worded as Kubernetes words it."""
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


class _Syntax:
    """A pattern with a length limit, and what is said when either fails."""

    __slots__ = ("_examples", "_limit", "_match", "_pattern", "_text")

    def __init__(self, pattern: str, text: str, limit: int, *examples: str) -> None:
        self._pattern = pattern
        self._match = re.compile(pattern, re.ASCII).fullmatch
        self._text = text
        self._limit = limit
        self._examples = examples

    def __call__(self, value: str) -> list[str]:
        errors = []
        if self._limit and len(value) > self._limit:
            errors.append(max_length(self._limit))
        if not self._match(value):
            errors.append(regex_message(self._text, self._pattern, *self._examples))
        return errors


dns1123_label = _Syntax(_LABEL, _LABEL_TEXT, DNS1123_LABEL_MAX, "my-name", "123-abc")
dns1123_subdomain = _Syntax(_SUBDOMAIN, _SUBDOMAIN_TEXT, DNS1123_SUBDOMAIN_MAX, "example.com")
dns1035_label = _Syntax(_LABEL_1035, _LABEL_1035_TEXT, DNS1035_LABEL_MAX, "my-name", "abc-123")
wildcard_subdomain = _Syntax(_WILDCARD, _WILDCARD_TEXT, DNS1123_SUBDOMAIN_MAX, "*.example.com")
http_header_name = _Syntax(
    _HTTP_HEADER, "a valid HTTP header must consist of alphanumeric characters or '-'", 0, "X-Header-Name"
)


def env_var_name(value: str) -> list[str]:
    """Any printable ASCII but `=` (relaxed since v1.34)."""
    if not value:
        return ["environment variable name " + EMPTY]
    if all(32 <= ord(c) <= 126 and c != "=" for c in value):
        return []
    return [
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
    ]


@lru_cache(maxsize=8192)
def _qualified_name(value: str) -> tuple[str, ...]:
    errors: list[str] = []
    prefix, slash, name = value.partition("/")
    if not slash:
        name = value
    elif "/" in name:
        return (
            "a qualified name "
            + regex_message(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        )
    elif not prefix:
        errors.append("prefix part " + EMPTY)
    else:
        errors += ["prefix part " + message for message in dns1123_subdomain(prefix)]
    if not name:
        errors.append("name part " + EMPTY)
    elif len(name) > 63:
        errors.append("name part " + max_length(63))
    if not re.fullmatch(_QUALIFIED, name, re.ASCII):
        errors.append(
            "name part " + regex_message(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
        )
    return tuple(errors)


def qualified_name(value: str) -> list[str]:
    """A label key or the like: an optional DNS subdomain and `/`, then a name of up to 63 characters."""
    return list(_qualified_name(value))


_label_value = _Syntax(_LABEL_VALUE, _LABEL_VALUE_TEXT, LABEL_VALUE_MAX, "MyValue", "my_value", "12345")


@lru_cache(maxsize=8192)
def _label_value_cached(value: str) -> tuple[str, ...]:
    return tuple(_label_value(value))


def label_value(value: str) -> list[str]:
    return list(_label_value_cached(value))


def config_map_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret: also a file name."""
    errors = []
    if len(value) > DNS1123_SUBDOMAIN_MAX:
        errors.append(max_length(DNS1123_SUBDOMAIN_MAX))
    if not re.fullmatch(_CONFIG_KEY, value, re.ASCII):
        errors.append(
            regex_message(
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                _CONFIG_KEY,
                "key.name",
                "KEY_NAME",
                "key-name",
            )
        )
    if value in (".", ".."):
        errors.append(f"must not be '{value}'")
    elif value.startswith(".."):
        errors.append("must not start with '..'")
    return errors


def path_segment(value: str) -> list[str]:
    """Names that are free but must fit a URL path (RBAC)."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{c}'" for c in ("/", "%") if c in value]


def port_name(value: str) -> list[str]:
    """An IANA service name of at most 15 characters."""
    errors = []
    if len(value) > 15:
        errors.append(max_length(15))
    if not _PORT_NAME.fullmatch(value):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= c <= "z" for c in value):
        errors.append("must contain at least one letter (a-z)")
    if "--" in value:
        errors.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def fully_qualified_name(value: str) -> list[str]:
    """A DNS subdomain of at least three labels where Kubernetes asks for a full name (CRD finalizers, signers)."""
    if not value:
        return []
    errors = dns1123_subdomain(value)
    if not errors and value.count(".") < 2:
        errors.append("should be a domain with at least three segments separated by dots")
    return errors


GENERATED_SUFFIX = 5
_GENERATE_BASE_MAX = 63 - GENERATED_SUFFIX


def generated(base: str, suffix: str) -> str:
    """The name made of `generateName` and a random suffix of GENERATED_SUFFIX characters."""
    return base[:_GENERATE_BASE_MAX] + suffix


#: The alphabet of generated suffixes: no vowels and no look-alikes, so that no words arise.
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
