"""What tests here share with the end-to-end tests: a local cluster, its image, waiting."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))
