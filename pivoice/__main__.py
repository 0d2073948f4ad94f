"""`python -m pivoice`."""

from __future__ import annotations

import sys

from pivoice.cli import main

if __name__ == "__main__":
    sys.exit(main())
