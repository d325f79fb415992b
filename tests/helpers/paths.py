"""Where the project and the golden fixtures lie."""

from pathlib import Path

REPO = Path(__file__).parents[2]
GOLDEN = REPO / "tests" / "golden"
