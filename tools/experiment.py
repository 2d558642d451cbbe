"""``gcnpose experiment`` from a checkout."""

import sys

from gcnpose.cli import main

sys.exit(main(["experiment", *sys.argv[1:]]))
