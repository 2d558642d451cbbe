"""``gcnpose predict`` from a checkout."""

import sys

from gcnpose.cli import main

sys.exit(main(["predict", *sys.argv[1:]]))
