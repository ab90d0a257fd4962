"""docs/guides/test-your-operator.md: its operator and its tests, run as a user's, in a directory of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "test-your-operator.md"


def test_the_guides_operator_passes_the_guides_tests(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", GUIDE.read_text(), re.S)
    assert [name for name, _ in blocks] == ["site_operator.py", "test_site_operator.py"]
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout
