"""``python -m trm``."""

import sys

from trm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
