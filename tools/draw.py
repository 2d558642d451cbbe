"""``gcnpose draw`` from a checkout."""

import sys

from gcnpose.cli import main

sys.exit(main(["draw", *sys.argv[1:]]))
