"""Compare what is read from Kubernetes's own protobuf files with its JSON of the same objects.

    python tools/check_protobuf.py SOURCE

SOURCE is what tools/compile_protobuf.py reads. Its `api/testdata/HEAD` has an object of every kind, every field set,
as `<group>.<version>.<Kind>.pb` and `.json`. Kinds that are not served are passed over. Exits with 1 at a difference.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from apimachinery import protobuf  # noqa: E402


def differences(read: Any, expected: Any, path: str) -> list[str]:
    """Where two JSON values differ."""
    if isinstance(read, dict) and isinstance(expected, dict):
        names = sorted(read.keys() | expected.keys())
        return [d for n in names for d in differences(read.get(n), expected.get(n), f"{path}.{n}")]
    if isinstance(read, list) and isinstance(expected, list) and len(read) == len(expected):
        pairs = enumerate(zip(read, expected, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}[{i}]")]
    return [] if read == expected else [f"{path}: {read!r}, not {expected!r}"]


def main() -> None:
    found: list[str] = []
    checked = 0
    for path in sorted((Path(sys.argv[1]) / "api/testdata/HEAD").glob("*.pb")):
        expected = json.loads(path.with_suffix(".json").read_text())
        if protobuf.is_known(expected.get("apiVersion", ""), expected.get("kind", "")):
            checked += 1
            found += differences(protobuf.decode(path.read_bytes()), expected, path.stem)
    print("\n".join([*found, f"{checked} kinds, {len(found)} differences"]))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
