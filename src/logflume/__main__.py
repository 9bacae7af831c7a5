"""``python -m logflume`` is the command ``logflume``."""

import sys

from logflume.cli import main

if __name__ == "__main__":
    sys.exit(main())
