"""``gcnpose evaluate`` from a checkout."""

import sys

from gcnpose.cli import main

sys.exit(main(["evaluate", *sys.argv[1:]]))
