"""A family of puzzles of a user's own, as it stands in my_puzzles.py: the one that the docs show."""

from paths import REPO

LIGHTS_OUT = (REPO / "docs" / "examples" / "my_puzzles.py").read_text()
