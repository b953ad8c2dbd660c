"""`python -m fractaljax.cli`: the command line where the script is not installed."""

import sys

from fractaljax.cli import main

if __name__ == "__main__":
    sys.exit(main())
