"""``gcnpose export`` from a checkout."""

import sys

from gcnpose.cli import main

sys.exit(main(["export", *sys.argv[1:]]))
