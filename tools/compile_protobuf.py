"""Write apimachinery/data/protobuf.gz: the protobuf field numbers of Kubernetes's kinds, as a kubectl knows them.

    python tools/compile_protobuf.py KUBECTL [OUTPUT]

Programs built with Kubernetes's Go types carry descriptors of their messages. The output is gzip of one line a
message: `definition<TAB>field,field,...`, the JSON names in order of their numbers from 1, empty where a number is
unused. `=<definition>` is a message whose fields JSON has inline. Types are not written: the compiled schema has them.
"""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from apimachinery import schema  # noqa: E402

_GZIP = re.compile(rb"\x1f\x8b\x08\x00\x00\x00\x00\x00")
_MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE


def messages(program: bytes) -> dict[str, descriptor_pb2.DescriptorProto]:
    """All messages of k8s.io packages in a program, by the name their definition has."""
    found: dict[str, descriptor_pb2.DescriptorProto] = {}
    for match in _GZIP.finditer(program):
        try:
            text = zlib.decompressobj(31).decompress(program[match.start() : match.start() + 2_000_000])
            file = descriptor_pb2.FileDescriptorProto.FromString(text)
        except (zlib.error, ValueError):
            continue
        except Exception as error:  # protobuf's DecodeError has no public base
            if type(error).__name__ != "DecodeError":
                raise
            continue
        if file.name.startswith("k8s.io/"):
            for message in file.message_type:
                found[definition_name(f"{file.package}.{message.name}")] = message
    return found


def definition_name(proto_name: str) -> str:
    """`k8s.io.api.core.v1.Pod` is `io.k8s.api.core.v1.Pod` in OpenAPI."""
    return re.sub(r"^\.?k8s\.io\.", "io.k8s.", proto_name)


class Compiler:
    def __init__(self, found: dict[str, descriptor_pb2.DescriptorProto]) -> None:
        self.found = found
        self.lines: dict[str, str] = {}

    def add(self, name: str, fields: set[str]) -> None:
        """Write the line of a message whose JSON has `fields`, and of the messages inline in it."""
        if name in self.lines:
            return
        self.lines[name] = ""
        numbered: dict[int, str] = {}
        known = {field.lower(): field for field in fields}  # some are `Webhooks` or `uID` in protobuf
        for field in self.found[name].field:
            shown = known.get(field.name.lower(), field.name)
            target = definition_name(field.type_name)
            if field.type == _MESSAGE and shown not in fields and target in self.found:
                self.add(target, fields)
                shown = "=" + target
            numbered[field.number] = shown
        if numbered:
            self.lines[name] = ",".join(numbered.get(i, "") for i in range(1, max(numbered) + 1))


def main() -> None:
    program = Path(sys.argv[1]).read_bytes()
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "apimachinery/data/protobuf.gz"
    found = messages(program)
    compiler = Compiler(found)
    for name in schema.definition_names():
        if name in found and schema.definition(name).type == "object":
            compiler.add(name, set(schema.definition(name).fields))
    text = "".join(f"{name}\t{compiler.lines[name]}\n" for name in sorted(compiler.lines))
    output.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{output}: {len(compiler.lines)} messages, {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
