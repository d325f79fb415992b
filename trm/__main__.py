"""``python -m trm``."""

import sys
from pathlib import Path

if not sys.flags.safe_path and sys.path[:1] == [str(Path.cwd())]:
    del sys.path[0]  # Python has put the working directory first, where a numpy.py would be run in place of numpy

from trm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
