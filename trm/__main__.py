"""``python -m trm``."""

import sys

from trm.cli import main

if __name__ == "__main__":
    sys.exit(main())
