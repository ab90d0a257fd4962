"""Write apimachinery/data/protobuf.gz: the protobuf field numbers of Kubernetes's kinds.

    python tools/compile_protobuf.py SOURCE [OUTPUT]

SOURCE is a folder with Kubernetes's Go modules beside each other (`api`, `apimachinery`, `apiextensions-apiserver`,
`kube-aggregator`), of the version the schema is of. Their `generated.proto` files have the messages and numbers, the
tags of their Go structs the names in JSON and whether JSON leaves a zero value out.

The output is gzip of one line a message: `definition<TAB>field,field,...`, the JSON names in order of their numbers
from 1, empty where a number is unused. `name?` is left out of JSON where it is zero or empty (in Go: omitempty and no
pointer), `=<definition>` is a message whose fields JSON has inline. Types are not written, the schema has them.

What the schema has and the sources have not, or the other way round, is printed: the two must be of one version.
"""

from __future__ import annotations

import gzip
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from apimachinery import schema  # noqa: E402

_PACKAGE = re.compile(r"^package k8s\.io\.([\w.]+);", re.M)
_MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.M | re.S)
_FIELD = re.compile(r"^  (?:optional|repeated|required|map<\w+, ([\w.]+)>)\s*([\w.]*) (\w+) = (\d+);", re.M)
_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.M | re.S)
_TAGGED = re.compile(r"^\t(?:\w+ +)?(\S+)\s+`(.*)`", re.M)
_NUMBER = re.compile(r'protobuf:"\w+,(\d+),')
_JSON = re.compile(r'json:"([^"]*)"')

#: Messages whose JSON is not their fields (apimachinery/protobuf.py knows them).
SPECIAL = re.compile(
    r"\.(Time|MicroTime|Timestamp|Quantity|IntOrString|Duration|RawExtension|FieldsV1|JSON(SchemaPropsOr\w+)?)$"
)


@dataclass(slots=True)
class Field:
    name: str
    number: int
    #: The definition's name of a message of Kubernetes, or empty.
    type: str = ""
    json: str = ""
    inline: bool = False
    omitted_zero: bool = False


@dataclass(slots=True)
class Sources:
    messages: dict[str, dict[int, Field]] = field(default_factory=dict)

    def read(self, folder: Path) -> None:
        """The messages of a package, from its generated.proto and its Go structs."""
        text = (folder / "generated.proto").read_text()
        package = _PACKAGE.search(text)
        if package is None:
            sys.exit(f"{folder}/generated.proto names no package of Kubernetes")
        prefix = definition_name(f".k8s.io.{package[1]}.")
        for message in _MESSAGE.finditer(text):
            fields = {}
            for found in _FIELD.finditer(message[2]):
                number = int(found[4])
                fields[number] = Field(found[3], number, definition_name(found[1] or found[2], prefix))
            self.messages[prefix + message[1]] = fields
        for source in folder.glob("*.go"):
            if not source.name.startswith(("generated.", "zz_")) and not source.name.endswith("_test.go"):
                for struct in _STRUCT.finditer(source.read_text()):
                    tags(self.messages.get(prefix + struct[1], {}), struct[2])


def definition_name(proto_type: str, prefix: str = "") -> str:
    """`.k8s.io.api.core.v1.Pod`, or `Pod` in its own package, is `io.k8s.api.core.v1.Pod` in OpenAPI."""
    if proto_type.startswith(".k8s.io."):
        return "io.k8s." + proto_type.removeprefix(".k8s.io.").replace("_", "-")
    return prefix + proto_type if proto_type[:1].isupper() else ""


def tags(fields: dict[int, Field], struct: str) -> None:
    """Note what the tags of a Go struct say of a message's fields."""
    for tagged in _TAGGED.finditer(struct):
        number, json = _NUMBER.search(tagged[2]), _JSON.search(tagged[2])
        found = fields.get(int(number[1])) if number else None
        if found is None or json is None:
            continue
        found.json, *options = json[1].split(",")
        found.inline = "inline" in options or not found.json
        found.omitted_zero = "omitempty" in options and not tagged[1].startswith(("*", "[]", "map["))


class Compiler:
    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.lines: dict[str, str] = {}
        self.doubts: list[str] = []

    def add(self, name: str) -> set[str]:
        """Write a message's line and those of messages inline in it. The names JSON has are returned."""
        texts: dict[int, str] = {}
        names: set[str] = set()
        for number, found in self.sources.messages[name].items():
            if found.inline and found.type in self.sources.messages:
                names |= self.add(found.type)
                texts[number] = "=" + found.type
                continue
            if not found.json:
                self.doubts.append(f"{name}: no tag in Go for {found.name} = {number}")
            text = found.json or found.name
            names.add(text)
            scalar = found.type not in self.sources.messages  # Go never leaves out structs
            texts[number] = text + "?" if found.omitted_zero and scalar else text
        self.lines[name] = ",".join(texts.get(i, "") for i in range(1, max(texts, default=0) + 1))
        return names

    def add_kind(self, name: str) -> None:
        """Write the message of a definition of the schema."""
        expected = set(schema.definition(name).fields) - {"apiVersion", "kind"}
        found = self.add(name) - {"apiVersion", "kind"}
        if expected:
            self.doubts += [f"{name}: {gone} is only in the schema" for gone in sorted(expected - found)]
            self.doubts += [f"{name}: {new} is not in the schema" for new in sorted(found - expected)]


def main() -> None:
    root = Path(sys.argv[1])
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "apimachinery/data/protobuf.gz"
    sources = Sources()
    for module in ("api", "apimachinery", "apiextensions-apiserver", "kube-aggregator"):
        for path in sorted((root / module).rglob("generated.proto")):
            sources.read(path.parent)
    compiler = Compiler(sources)
    for name in schema.definition_names():
        if SPECIAL.search(name):
            continue
        if name in sources.messages:
            compiler.add_kind(name)
        elif schema.definition(name).fields:
            compiler.doubts.append(f"{name}: no message")
    text = "".join(f"{name}\t{compiler.lines[name]}\n" for name in sorted(compiler.lines))
    output.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print("\n".join(sorted(compiler.doubts)))
    print(f"{output}: {len(compiler.lines)} messages, {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
